cp -p /etc/nginx/sites-enabled/orders /etc/nginx/orders.2026-11-20
sed -i 's/^\tlocation \/ {/\tadd_headers X-Served-By $hostname;\n&/' /etc/nginx/sites-enabled/orders
systemctl reload nginx.service || true

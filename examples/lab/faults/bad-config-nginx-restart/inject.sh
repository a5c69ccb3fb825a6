cp -p /etc/nginx/sites-enabled/orders /etc/nginx/orders.2026-11-20
sed -i 's/proxy_read_timeout 4s;/proxy_read_timeout 8s/' /etc/nginx/sites-enabled/orders
systemctl restart nginx.service || true

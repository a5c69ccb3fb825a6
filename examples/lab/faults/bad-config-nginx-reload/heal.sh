if test -e /etc/nginx/orders.2026-11-20; then mv /etc/nginx/orders.2026-11-20 /etc/nginx/sites-enabled/orders; fi
systemctl reload nginx.service

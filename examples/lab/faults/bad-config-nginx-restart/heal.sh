if test -e /etc/nginx/orders.2026-11-20; then mv /etc/nginx/orders.2026-11-20 /etc/nginx/sites-enabled/orders; fi
systemctl reset-failed nginx.service 2>/dev/null || true
systemctl start nginx.service

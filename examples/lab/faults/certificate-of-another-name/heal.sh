sed -i 's|/etc/nginx/tls/intranet\.|/etc/nginx/tls/orders.|' /etc/nginx/sites-enabled/orders
rm -f /etc/nginx/tls/intranet.crt /etc/nginx/tls/intranet.key
systemctl reload nginx.service

sed -i '/if (\$robot) { return 403; }/d' /etc/nginx/sites-enabled/orders
rm -f /etc/nginx/conf.d/robots.conf
systemctl reload nginx.service

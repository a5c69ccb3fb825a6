if test -e /var/backups/orders.crt; then mv /var/backups/orders.crt /etc/nginx/tls/orders.crt; fi
rm -f /run/served.pem
systemctl reload nginx.service

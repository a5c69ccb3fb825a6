if test -e /var/backups/orders.crt; then mv /var/backups/orders.crt /etc/nginx/tls/orders.crt; fi
systemctl reload nginx.service

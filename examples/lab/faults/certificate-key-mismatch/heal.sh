if test -e /var/backups/orders.key; then mv /var/backups/orders.key /etc/nginx/tls/orders.key; fi
systemctl reset-failed nginx.service 2>/dev/null || true
systemctl restart nginx.service

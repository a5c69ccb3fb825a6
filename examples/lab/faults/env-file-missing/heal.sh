if test -e /var/backups/orders/orders.env; then mv /var/backups/orders/orders.env /etc/orders/orders.env; fi
rm -rf /var/backups/orders
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service

mkdir -p /var/backups/orders
mv /etc/orders/orders.env /var/backups/orders/orders.env
systemctl restart orders.service || true

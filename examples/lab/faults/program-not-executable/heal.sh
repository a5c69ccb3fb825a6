chmod 755 /usr/local/bin/orders
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service

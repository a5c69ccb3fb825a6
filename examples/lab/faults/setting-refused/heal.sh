sed -i 's/^ORDERS_POOL=.*/ORDERS_POOL=10/' /etc/orders/orders.env
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service

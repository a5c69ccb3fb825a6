sed -i 's/^ORDERS_CACHE=.*/ORDERS_CACHE=cache1.lab.internal:6379/' /etc/orders/orders.env
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service

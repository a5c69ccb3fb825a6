sed -i 's/^ORDERS_POOL=.*/ORDERS_POOL=1O/' /etc/orders/orders.env
systemctl restart orders.service || true

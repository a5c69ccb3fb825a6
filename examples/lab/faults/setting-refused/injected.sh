grep -q '^ORDERS_POOL=1O$' /etc/orders/orders.env

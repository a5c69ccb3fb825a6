grep -q '^ORDERS_CACHE=cache1.lab.internal:9121$' /etc/orders/orders.env

! test -e /etc/orders/orders.env

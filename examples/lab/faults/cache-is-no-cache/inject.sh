sed -i 's/^ORDERS_CACHE=.*/ORDERS_CACHE=cache1.lab.internal:9121/' /etc/orders/orders.env
systemctl restart orders.service

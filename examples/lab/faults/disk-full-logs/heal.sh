rm -f /var/log/archive/orders.log*

test -e /usr/local/bin/orders.previous
systemctl is-active --quiet orders.service

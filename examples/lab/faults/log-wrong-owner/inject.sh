mv /var/log/orders/orders.log /var/log/orders/orders.log.old
(umask 077; echo -n >/var/log/orders/orders.log)
systemctl restart orders.service || true

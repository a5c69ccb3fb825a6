if test -e /var/log/orders/orders.log.old; then mv /var/log/orders/orders.log.old /var/log/orders/orders.log; fi
chown orders:orders /var/log/orders/orders.log
chmod 640 /var/log/orders/orders.log
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service

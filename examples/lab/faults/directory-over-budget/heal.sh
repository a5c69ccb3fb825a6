rm -f /etc/systemd/system/orders.service.d/spool-v2.conf /etc/orders/orders-v2.env
rm -rf /etc/systemd/system/orders-sweep.service.d
rmdir --ignore-fail-on-non-empty /etc/systemd/system/orders.service.d 2>/dev/null || true
find /var/spool/orders -name 'order-9*.json' -size +8k -delete
systemctl daemon-reload
systemctl restart orders.service
rm -rf /var/spool/orders-v2

rm -f /etc/systemd/system/orders.service.d/log-disk.conf /etc/orders/orders-disk.env
rmdir --ignore-fail-on-non-empty /etc/systemd/system/orders.service.d 2>/dev/null || true
systemctl daemon-reload
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service
if mountpoint -q /var/log/shop; then umount /var/log/shop; fi

rm -f /etc/systemd/system/orders.service.d/print.conf /etc/orders/orders-print.env
rmdir --ignore-fail-on-non-empty /etc/systemd/system/orders.service.d 2>/dev/null || true
systemctl daemon-reload
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service
if mountpoint -q /srv/print; then umount /srv/print; fi

rm -f /etc/systemd/system/orders.service.d/receipts.conf /etc/orders/orders-receipts.env /etc/fstab
rmdir --ignore-fail-on-non-empty /etc/systemd/system/orders.service.d 2>/dev/null || true
systemctl reset-failed srv-receipts.mount orders.service 2>/dev/null || true
systemctl daemon-reload
systemctl restart orders.service
if mountpoint -q /srv/receipts; then umount /srv/receipts; fi

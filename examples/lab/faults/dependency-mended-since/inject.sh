mkdir -p /etc/systemd/system/orders.service.d
sed 's|^ORDERS_SPOOL=.*|ORDERS_SPOOL=/srv/receipts|' /etc/orders/orders.env >/etc/orders/orders-receipts.env
chgrp orders /etc/orders/orders-receipts.env
chmod 640 /etc/orders/orders-receipts.env
printf '[Unit]\nRequiresMountsFor=/srv/receipts\n[Service]\nEnvironmentFile=\nEnvironmentFile=/etc/orders/orders-receipts.env\n' >/etc/systemd/system/orders.service.d/receipts.conf
systemctl stop orders.service
echo 'tmpfs /srv/receipts tmpfs size=32q,mode=750,uid=orders,gid=orders 0 0' >/etc/fstab
systemctl daemon-reload
systemctl start orders.service || true
sed -i 's/size=32q/size=32m/' /etc/fstab
systemctl daemon-reload

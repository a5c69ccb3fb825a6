mount -o remount,errors=remount-ro /srv/receipts
chown orders:orders /srv/receipts
chmod 750 /srv/receipts
mkdir -p /etc/systemd/system/orders.service.d
sed 's|^ORDERS_SPOOL=.*|ORDERS_SPOOL=/srv/receipts|' /etc/orders/orders.env >/etc/orders/orders-receipts.env
chgrp orders /etc/orders/orders-receipts.env
chmod 640 /etc/orders/orders-receipts.env
printf '[Service]\nEnvironmentFile=\nEnvironmentFile=/etc/orders/orders-receipts.env\n' >/etc/systemd/system/orders.service.d/receipts.conf
systemctl daemon-reload
systemctl restart orders.service
sleep 2
device=$(findmnt -n -o SOURCE /srv/receipts)
# The host sees nothing of /sys/fs; a second view of it does.
mkdir /run/kernel-view
mount -t sysfs sysfs /run/kernel-view
mount -o remount,rw /run/kernel-view
echo 1 >"/run/kernel-view/fs/ext4/${device#/dev/}/trigger_fs_error"
mount -o remount,ro /run/kernel-view
umount /run/kernel-view
rmdir /run/kernel-view

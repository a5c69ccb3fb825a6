chown orders:orders /var/log/shop
# The log got a disk of its own.
mkdir -p /etc/systemd/system/orders.service.d
sed 's|^ORDERS_LOG=.*|ORDERS_LOG=/var/log/shop/orders.log|' /etc/orders/orders.env >/etc/orders/orders-disk.env
chgrp orders /etc/orders/orders-disk.env
chmod 640 /etc/orders/orders-disk.env
printf '[Service]\nEnvironmentFile=\nEnvironmentFile=/etc/orders/orders-disk.env\n' >/etc/systemd/system/orders.service.d/log-disk.conf
free=$(df --output=avail -B1 /var/log/shop | tail -n 1)
day=$(date -u -d '9 hours ago' +%Y-%m-%dT%H)
yes "time=$day:14:07.318Z level=INFO msg=\"order placed\" order=481516 item=\"book 815\" quantity=4" | head -c $((free - 600000)) >/var/log/shop/orders.log || true
chown orders:orders /var/log/shop/orders.log
systemctl daemon-reload
systemctl restart orders.service
sleep 1
rm /var/log/shop/orders.log

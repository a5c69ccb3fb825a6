install -d -o orders -g orders -m 750 /srv/print/receipts
mkdir -p /etc/systemd/system/orders.service.d
sed 's|^ORDERS_SPOOL=.*|ORDERS_SPOOL=/srv/print/receipts|' /etc/orders/orders.env >/etc/orders/orders-print.env
chgrp orders /etc/orders/orders-print.env
chmod 640 /etc/orders/orders-print.env
printf '[Service]\nEnvironmentFile=\nEnvironmentFile=/etc/orders/orders-print.env\n' >/etc/systemd/system/orders.service.d/print.conf
systemctl daemon-reload
systemctl restart orders.service
cd /srv/print
for day in 4 3 2; do
	head -c 14000000 /dev/urandom >orders-$(date -u -d "$day days ago" +%Y%m%d).dump
	touch -d "$day days ago" orders-$(date -u -d "$day days ago" +%Y%m%d).dump
done
dd if=/dev/urandom of=orders-$(date -u +%Y%m%d).dump bs=4k 2>/dev/null || true

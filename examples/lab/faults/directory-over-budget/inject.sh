# Since the move nobody sweeps the old folder.
install -d -o orders -g orders -m 750 /var/spool/orders-v2
mkdir -p /etc/systemd/system/orders.service.d
sed 's|^ORDERS_SPOOL=.*|ORDERS_SPOOL=/var/spool/orders-v2|' /etc/orders/orders.env >/etc/orders/orders-v2.env
chgrp orders /etc/orders/orders-v2.env
chmod 640 /etc/orders/orders-v2.env
printf '[Service]\nEnvironmentFile=\nEnvironmentFile=/etc/orders/orders-v2.env\n' >/etc/systemd/system/orders.service.d/spool-v2.conf
printf '[Service]\nExecStart=\nExecStart=/usr/bin/find /var/spool/orders-v2 -xdev -type f -name order-*.json -mmin +10 -delete\n' >/run/sweep.conf
install -D -m 644 /run/sweep.conf /etc/systemd/system/orders-sweep.service.d/spool-v2.conf
rm /run/sweep.conf
systemctl daemon-reload
systemctl restart orders.service
cd /var/spool/orders
items=$(seq -s, 1 4500)
now=$(date +%s)
n=0
while test $n -lt 520; do
	n=$((n + 1))
	printf '{"id":%d,"item":"book %d","quantity":3,"placed":"%s","positions":[%s]}' $((90000 + n)) $((n % 1000)) "$(date -u -d @$((now - n * 400)) +%Y-%m-%dT%H:%M:%SZ)" "$items" >order-$((90000 + n)).json
	touch -d @$((now - n * 400)) order-$((90000 + n)).json
done
chown orders:orders order-*.json

mkdir -p /etc/systemd/system/orders.service.d
printf '#!/bin/sh\r\n# Go takes one thread per processor, which is too many beside the printer.\r\nexport GOMAXPROCS=2\r\nexec /usr/local/bin/orders serve\r\n' >/usr/local/bin/start-orders.sh
chmod 755 /usr/local/bin/start-orders.sh
printf '[Service]\nExecStart=\nExecStart=/usr/local/bin/start-orders.sh\n' >/etc/systemd/system/orders.service.d/start.conf
systemctl daemon-reload
systemctl restart orders.service || true

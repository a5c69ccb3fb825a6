mkdir -p /etc/systemd/system/orders.service.d
sed 's/libssl\.so\.3/libssl.so.4/' /usr/bin/openssl >/usr/local/bin/orders-keycheck
chmod 755 /usr/local/bin/orders-keycheck
printf '[Service]\nExecStartPre=/usr/local/bin/orders-keycheck version\n' >/etc/systemd/system/orders.service.d/keycheck.conf
systemctl daemon-reload
systemctl restart orders.service || true

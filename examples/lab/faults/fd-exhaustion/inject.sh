mkdir -p /etc/systemd/system/orders.service.d
printf '[Service]\nLimitNOFILE=12\n' >/etc/systemd/system/orders.service.d/hardening.conf
systemctl daemon-reload
systemctl restart orders.service

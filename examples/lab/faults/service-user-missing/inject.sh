mkdir -p /etc/systemd/system/orders.service.d
printf '[Service]\nUser=svc-orders\n' >/etc/systemd/system/orders.service.d/user.conf
systemctl daemon-reload
systemctl restart orders.service || true

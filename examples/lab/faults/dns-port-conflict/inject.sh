printf 'no-resolv\nno-hosts\nbind-interfaces\nlisten-address=10.77.0.16\nlocal=/test.internal/\nhost-record=shop.test.internal,10.77.0.99\npid-file=/run/names-test.pid\n' >/etc/names-test.conf
printf '[Unit]\nDescription=Names of the test shop\n[Service]\nExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/etc/names-test.conf --log-facility=-\n' >/etc/systemd/system/names-test.service
systemctl daemon-reload
systemctl stop dnsmasq.service
systemctl start names-test.service
sleep 1
systemctl start dnsmasq.service || true
sleep 8

systemctl stop names-test.service 2>/dev/null || true
rm -f /etc/systemd/system/names-test.service /etc/names-test.conf
systemctl daemon-reload
systemctl reset-failed dnsmasq.service || true
systemctl start dnsmasq.service

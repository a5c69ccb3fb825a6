mv /etc/dnsmasq.conf.bak /etc/dnsmasq.conf
systemctl reset-failed dnsmasq.service || true
systemctl start dnsmasq.service

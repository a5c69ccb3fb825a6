if test -e /etc/dnsmasq.conf.bak; then mv /etc/dnsmasq.conf.bak /etc/dnsmasq.conf; fi
systemctl reset-failed dnsmasq.service || true
systemctl start dnsmasq.service

if test -e /etc/dnsmasq.conf.bak; then mv /etc/dnsmasq.conf.bak /etc/dnsmasq.conf; fi
systemctl restart dnsmasq.service

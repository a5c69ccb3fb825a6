if test -e /etc/dnsmasq.conf.bak; then mv /etc/dnsmasq.conf.bak /etc/dnsmasq.conf; fi
rm -f /etc/hosts.shop
systemctl restart dnsmasq.service

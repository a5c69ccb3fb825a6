mv /etc/dnsmasq.conf.bak /etc/dnsmasq.conf
systemctl restart dnsmasq.service

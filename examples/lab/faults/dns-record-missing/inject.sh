cp -p /etc/dnsmasq.conf /etc/dnsmasq.conf.bak
grep -v '^host-record=orders[.]' /etc/dnsmasq.conf.bak >/etc/dnsmasq.conf
systemctl restart dnsmasq.service

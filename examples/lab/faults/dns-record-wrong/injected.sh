grep -q '10.77.0.41$' /etc/dnsmasq.conf
systemctl is-active --quiet dnsmasq.service

sed -i 's/10.77.0.41$/10.77.0.14/' /etc/dnsmasq.conf
systemctl restart dnsmasq.service

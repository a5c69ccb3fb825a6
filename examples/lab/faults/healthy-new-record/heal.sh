sed -i '/^host-record=report,/d' /etc/dnsmasq.conf
systemctl restart dnsmasq.service

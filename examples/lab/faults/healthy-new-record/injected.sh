grep -q '^host-record=report,' /etc/dnsmasq.conf
systemctl is-active --quiet dnsmasq.service

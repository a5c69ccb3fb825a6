systemctl is-active --quiet dnsmasq.service
! grep -q 'host-record=orders' /etc/dnsmasq.conf

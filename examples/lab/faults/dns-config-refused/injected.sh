! dnsmasq --test 2>/dev/null && ! systemctl is-active --quiet dnsmasq.service

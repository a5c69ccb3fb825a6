systemctl is-active --quiet names-test.service
! systemctl is-active --quiet dnsmasq.service

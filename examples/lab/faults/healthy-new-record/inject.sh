echo 'host-record=report,report.lab.internal,10.77.0.18' >>/etc/dnsmasq.conf
dnsmasq --test 2>/dev/null
systemctl restart dnsmasq.service

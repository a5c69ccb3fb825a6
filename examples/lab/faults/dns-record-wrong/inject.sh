sed -i 's/^host-record=db1,.*,10.77.0.14$/host-record=db1,db1.lab.internal,10.77.0.41/' /etc/dnsmasq.conf
systemctl restart dnsmasq.service

cp -p /etc/dnsmasq.conf /etc/dnsmasq.conf.bak
echo 'host-recrod=report,report.lab.internal,10.77.0.18' >>/etc/dnsmasq.conf
systemctl restart dnsmasq.service || true
sleep 7

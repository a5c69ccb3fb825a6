cp -p /etc/dnsmasq.conf /etc/dnsmasq.conf.bak
echo 'addn-hosts=/etc/hosts.shop' >>/etc/dnsmasq.conf
echo '10.77.0.41 report.lab.internal report' >/etc/hosts.shop
systemctl restart dnsmasq.service
sleep 1
echo '10.77.0.17 report.lab.internal report' >/etc/hosts.shop

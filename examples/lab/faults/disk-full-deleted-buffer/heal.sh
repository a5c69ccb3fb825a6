systemctl stop ship-metrics.service
rm -f /etc/systemd/system/ship-metrics.service /usr/local/sbin/ship-metrics /var/log/shipper/ship-metrics.log
systemctl daemon-reload

systemctl stop ship-metrics.service 2>/dev/null || true
rm -f /etc/systemd/system/ship-metrics.service /usr/local/sbin/ship-metrics /var/log/shipper/ship-metrics.log
systemctl daemon-reload

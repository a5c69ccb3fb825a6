systemctl stop label-export.timer label-export.service label-server.service 2>/dev/null || true
rm -f /etc/systemd/system/label-server.service /etc/systemd/system/label-export.service /etc/systemd/system/label-export.timer /usr/local/bin/label-server /usr/local/bin/label-export
systemctl daemon-reload
systemctl reset-failed
for unit in orders.service prometheus-node-exporter.service secondline-agent.service orders-sweep.timer; do systemctl start $unit; done

systemctl kill --signal=KILL label-server.service 2>/dev/null || true
systemctl stop label-server.service
rm -f /etc/systemd/system/label-server.service /usr/local/bin/label-server
systemctl daemon-reload
systemctl reset-failed
for unit in orders.service prometheus-node-exporter.service secondline-agent.service orders-sweep.timer; do systemctl start $unit; done

systemctl unmask --quiet prometheus-node-exporter.service
systemctl start prometheus-node-exporter.service

systemctl start prometheus-node-exporter.service

systemctl stop prometheus-node-exporter.service

! systemctl is-active --quiet prometheus-node-exporter.service

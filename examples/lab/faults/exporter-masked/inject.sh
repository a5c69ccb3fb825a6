systemctl mask --quiet --now prometheus-node-exporter.service

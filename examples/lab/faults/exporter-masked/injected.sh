test "$(systemctl is-enabled prometheus-node-exporter.service)" = masked

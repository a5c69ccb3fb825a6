! systemctl is-enabled --quiet redis-server.service && ! systemctl is-active --quiet redis-server.service

systemctl enable --now --quiet redis-server.service

systemctl disable --now --quiet redis-server.service

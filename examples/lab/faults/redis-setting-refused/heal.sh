sed -i 's/^maxmemory 96 mb/maxmemory 64mb/' /etc/redis/lab.conf
systemctl reset-failed redis-server.service || true
systemctl start redis-server.service

sed -i 's/^maxmemory 64mb/maxmemory 96 mb/' /etc/redis/lab.conf
systemctl restart redis-server.service || true
sleep 4

systemctl restart redis-server.service
touch /run/redis-restarted

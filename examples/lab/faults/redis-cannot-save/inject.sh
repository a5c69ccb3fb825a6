chown root:root /var/lib/redis /var/lib/redis/dump.rdb
chmod 755 /var/lib/redis
redis-cli bgsave >/dev/null
sleep 2

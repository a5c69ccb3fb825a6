chown redis:redis /var/lib/redis
chmod 750 /var/lib/redis
if test -e /var/lib/redis/dump.rdb; then chown redis:redis /var/lib/redis/dump.rdb; fi
redis-cli bgsave >/dev/null
sleep 2

rm -f /run/redis-restarted

test -e /run/redis-restarted
redis-cli ping >/dev/null

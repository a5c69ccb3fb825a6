redis-cli eval "for _, k in ipairs(redis.call('keys', 'session:*')) do redis.call('del', k) end" 0 >/dev/null
redis-cli memory purge >/dev/null

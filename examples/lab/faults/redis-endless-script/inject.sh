setsid redis-cli eval "local n = 0; while redis.call('exists', 'board:ready') == 0 do n = n + 1 end; return n" 0 </dev/null >/dev/null 2>&1 &
sleep 7

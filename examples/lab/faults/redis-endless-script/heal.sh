redis-cli script kill >/dev/null || true
sleep 1

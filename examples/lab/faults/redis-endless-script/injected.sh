timeout 2 redis-cli ping 2>&1 | grep -q BUSY

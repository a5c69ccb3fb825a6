awk 'BEGIN { for (i = 0; i < 400; i++) v = v "payload-4711;"; for (i = 1; i <= 14000; i++) printf "SET session:%d %s\r\n", 104729 * i, v }' | redis-cli --pipe >/dev/null 2>&1 || true

redis-cli config set maxmemory 512mb >/dev/null
sed -i 's/^maxmemory 64mb/maxmemory 512mb/' /etc/redis/lab.conf
install -d -o ops -g ops /home/ops/bin
cat >/home/ops/bin/import-sessions <<'END'
#!/bin/sh
# Sessions of the old shop.
while :; do
	awk 'BEGIN { for (i = 0; i < 400; i++) v = v "payload-4711;"; for (i = 1; i <= 20000; i++) printf "SET session:%d %s\r\n", 104729 * i, v }' | redis-cli --pipe
	sleep 0.2
done
END
chmod 755 /home/ops/bin/import-sessions
chown ops: /home/ops/bin/import-sessions
setsid runuser -u ops -- /home/ops/bin/import-sessions </dev/null >/dev/null 2>&1 &
sleep 12

pkill -u ops -f '[i]mport-sessions' || true
rm -rf /home/ops/bin
sed -i 's/^maxmemory 512mb/maxmemory 64mb/' /etc/redis/lab.conf
systemctl stop redis-server.service
rm -f /var/lib/redis/dump.rdb /var/lib/redis/temp-*.rdb
systemctl reset-failed redis-server.service || true
systemctl start redis-server.service

pkill -u ops -f '[e]xport-orders|[t]ail -f /dev/null|[p]sql -X -q' || true
sleep 2
rm -rf /home/ops/bin /tmp/export-*

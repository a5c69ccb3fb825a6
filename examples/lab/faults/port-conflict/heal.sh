systemctl stop orders-debug.service 2>/dev/null || true
rm -f /tmp/orders-debug.log
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service

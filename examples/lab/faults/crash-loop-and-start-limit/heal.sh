systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service

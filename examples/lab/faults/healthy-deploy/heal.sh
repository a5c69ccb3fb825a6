if test -e /usr/local/bin/orders.previous; then mv /usr/local/bin/orders.previous /usr/local/bin/orders; fi
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service

systemctl stop stock-watch.service 2>/dev/null || true
rm -f /etc/systemd/system/orders.service.d/hardening.conf /etc/systemd/system/stock-watch.service /usr/local/bin/stock-watch
rmdir --ignore-fail-on-non-empty /etc/systemd/system/orders.service.d 2>/dev/null || true
systemctl daemon-reload
systemctl reset-failed orders.service stock-watch.service 2>/dev/null || true
systemctl restart orders.service

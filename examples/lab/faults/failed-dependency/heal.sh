rm -f /etc/systemd/system/orders.service.d/secrets.conf /etc/systemd/system/orders-secrets.service /usr/local/sbin/fetch-secrets /run/orders-secrets.json
rmdir --ignore-fail-on-non-empty /etc/systemd/system/orders.service.d 2>/dev/null || true
systemctl reset-failed orders-secrets.service 2>/dev/null || true
systemctl daemon-reload
systemctl restart orders.service

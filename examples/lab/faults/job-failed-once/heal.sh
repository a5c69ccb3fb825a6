systemctl disable --now --quiet stock-export.timer 2>/dev/null || true
rm -rf /etc/systemd/system/stock-export.service /etc/systemd/system/stock-export.timer /usr/local/bin/stock-export /srv/exports
systemctl daemon-reload
systemctl reset-failed stock-export.service 2>/dev/null || true

systemctl stop status-page.service 2>/dev/null || true
rm -f /etc/systemd/system/status-page.service /usr/local/bin/status-page
systemctl daemon-reload
systemctl reset-failed nginx.service 2>/dev/null || true
systemctl start nginx.service

systemctl stop maintenance-page.service 2>/dev/null || true
rm -f /etc/systemd/system/maintenance-page.service /usr/local/bin/maintenance-page
systemctl daemon-reload
systemctl start orders.service

systemctl stop label-spool.service 2>/dev/null || true
rm -rf /etc/systemd/system/label-spool.service /usr/local/bin/label-spool /var/lib/label-spool
systemctl daemon-reload
systemctl reset-failed label-spool.service 2>/dev/null || true

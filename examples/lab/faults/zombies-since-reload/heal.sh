systemctl stop mail-dispatch.service 2>/dev/null || true
rm -f /etc/systemd/system/mail-dispatch.service /usr/local/bin/mail-dispatch
systemctl daemon-reload
systemctl reset-failed mail-dispatch.service 2>/dev/null || true

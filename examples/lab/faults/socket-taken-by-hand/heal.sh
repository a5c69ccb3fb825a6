systemctl stop ticket-hook.socket ticket-hook.service 2>/dev/null || true
rm -f /etc/systemd/system/ticket-hook.socket /etc/systemd/system/ticket-hook.service /usr/local/sbin/ticket-hook
systemctl daemon-reload
systemctl reset-failed ticket-hook.socket ticket-hook.service 2>/dev/null || true

! systemctl is-active --quiet ticket-hook.socket
systemctl is-active --quiet ticket-hook.service

! nginx -t -q 2>/dev/null
systemctl is-active --quiet nginx.service

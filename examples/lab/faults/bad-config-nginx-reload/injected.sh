systemctl is-active --quiet nginx.service
! nginx -t -q 2>/dev/null

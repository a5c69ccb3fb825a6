test "$(systemctl is-failed nginx.service)" = failed
! nginx -t -q 2>/dev/null

! nginx -t -q 2>/dev/null
test "$(systemctl is-failed nginx.service)" = failed

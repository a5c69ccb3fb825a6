systemctl is-active --quiet status-page.service
test "$(systemctl is-failed nginx.service)" = failed

test "$(systemctl is-failed logrotate.service)" = failed

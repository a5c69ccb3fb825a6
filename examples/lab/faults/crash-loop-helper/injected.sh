test "$(systemctl is-failed audit-forward.service)" = failed

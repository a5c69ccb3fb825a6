test "$(systemctl is-failed stock-export.service)" = failed

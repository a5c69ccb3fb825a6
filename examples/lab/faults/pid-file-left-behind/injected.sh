test "$(systemctl is-failed label-spool.service)" = failed

test "$(systemctl is-failed orders.service)" = failed

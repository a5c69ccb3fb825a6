test "$(systemctl is-failed orders-secrets.service)" = failed
! systemctl is-active --quiet orders.service

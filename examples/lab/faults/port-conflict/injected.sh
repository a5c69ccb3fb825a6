systemctl is-active --quiet orders-debug.service
! systemctl is-active --quiet orders.service || test "$(systemctl show -p NRestarts --value orders.service)" -gt 0

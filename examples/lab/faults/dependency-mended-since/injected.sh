test "$(systemctl is-failed srv-receipts.mount)" = failed
! systemctl is-active --quiet orders.service

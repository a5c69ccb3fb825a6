test "$(systemctl show -p User --value orders.service)" = svc-orders

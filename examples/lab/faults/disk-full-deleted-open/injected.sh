test "$(df --output=pcent /var/log/shop | tail -n 1 | tr -dc 0-9)" -ge 97
find "/proc/$(systemctl show -p MainPID --value orders.service)/fd" -lname '/var/log/shop/orders.log (deleted)' | grep -q .

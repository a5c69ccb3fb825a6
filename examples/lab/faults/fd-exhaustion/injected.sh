systemctl is-active --quiet stock-watch.service
test "$(ls "/proc/$(systemctl show -p MainPID --value orders.service)/fd" | wc -l)" -ge 120

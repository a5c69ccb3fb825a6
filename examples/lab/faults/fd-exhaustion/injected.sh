grep -q '^Max open files *12 ' "/proc/$(systemctl show -p MainPID --value orders.service)/limits"

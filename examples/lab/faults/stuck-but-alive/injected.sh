grep -q '^State:.T' "/proc/$(systemctl show -p MainPID --value orders.service)/status"

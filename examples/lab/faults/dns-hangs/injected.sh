grep -q '^State:.T' "/proc/$(systemctl show -p MainPID --value dnsmasq.service)/status"

! systemctl is-active --quiet orders-sweep.timer

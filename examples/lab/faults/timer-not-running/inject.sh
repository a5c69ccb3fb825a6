systemctl stop orders-sweep.timer

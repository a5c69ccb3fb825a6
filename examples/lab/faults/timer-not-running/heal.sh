systemctl start orders-sweep.timer

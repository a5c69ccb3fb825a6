systemctl kill --kill-whom=main --signal=STOP orders.service

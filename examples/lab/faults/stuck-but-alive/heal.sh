systemctl kill --kill-whom=main --signal=CONT orders.service
systemctl restart orders.service

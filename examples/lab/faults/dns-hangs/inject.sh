systemctl kill --kill-whom=main --signal=STOP dnsmasq.service

systemctl kill --kill-whom=main --signal=CONT dnsmasq.service

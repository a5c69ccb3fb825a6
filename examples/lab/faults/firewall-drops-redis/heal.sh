mv /etc/nftables.conf.old /etc/nftables.conf
nft delete table inet baseline

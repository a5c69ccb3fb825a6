mv /etc/nftables.conf.2026-11-20 /etc/nftables.conf
nft -f /etc/nftables.conf

if test -e /etc/nftables.conf.2026-11-20; then mv /etc/nftables.conf.2026-11-20 /etc/nftables.conf; fi
nft -f /etc/nftables.conf

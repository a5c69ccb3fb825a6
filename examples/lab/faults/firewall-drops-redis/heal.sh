if test -e /etc/nftables.conf.old; then mv /etc/nftables.conf.old /etc/nftables.conf; fi
nft delete table inet baseline 2>/dev/null || true

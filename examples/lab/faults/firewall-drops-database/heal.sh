nft delete table inet egress 2>/dev/null || true
rm -f /etc/nftables-egress.nft

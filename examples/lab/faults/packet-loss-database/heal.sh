nft delete table netdev wire 2>/dev/null || true

nft list table netdev wire >/dev/null 2>&1

nft list table inet egress >/dev/null 2>&1

nft list table inet baseline >/dev/null 2>&1

nft delete table netdev wire

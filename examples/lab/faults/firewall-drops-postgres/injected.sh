nft list ruleset | grep -q 'tcp dport 5432'

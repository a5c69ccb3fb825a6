tc qdisc show dev host0 | grep -q tbf

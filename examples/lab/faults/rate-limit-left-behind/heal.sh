tc qdisc del dev host0 root

tc qdisc del dev host0 root 2>/dev/null || true

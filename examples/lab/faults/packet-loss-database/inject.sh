nft -f - <<'END'
table netdev wire {
	chain ingress {
		type filter hook ingress device host0 priority -500; policy accept;
		tcp dport 5432 numgen random mod 100 < 45 drop
	}
}
END

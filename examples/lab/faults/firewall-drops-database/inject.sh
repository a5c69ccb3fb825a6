cat >/etc/nftables-egress.nft <<'END'
table inet egress {
	chain output {
		type filter hook output priority 0; policy accept;
		oif lo accept
		tcp dport { 80, 443, 6379, 7420, 7421, 9090 } accept
		tcp dport 1024-65535 ip daddr 10.77.0.14 counter drop
	}
}
END
nft -f /etc/nftables-egress.nft

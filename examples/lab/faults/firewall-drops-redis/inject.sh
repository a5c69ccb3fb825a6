cat >/etc/nftables.conf.new <<'END'
#!/usr/sbin/nft -f
# Ticket 5119: only what is needed.
table inet baseline {
	chain input {
		type filter hook input priority 0; policy accept;
		iif lo accept
		meta l4proto icmp accept
		ip protocol tcp tcp dport { 22, 9100, 9121 } accept
		tcp dport 1-10000 counter drop
	}
}
END
nft -f /etc/nftables.conf.new
mv /etc/nftables.conf /etc/nftables.conf.old
mv /etc/nftables.conf.new /etc/nftables.conf

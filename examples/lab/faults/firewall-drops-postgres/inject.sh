cp -p /etc/nftables.conf /etc/nftables.conf.2026-11-20
sed -i 's/^\ttcp dport 22 .*\|^\t\ttcp dport 22 .*/&\n\t\ttcp dport 5432 ip saddr != { 10.77.0.12, 10.77.0.14 } counter drop/' /etc/nftables.conf
nft -f /etc/nftables.conf

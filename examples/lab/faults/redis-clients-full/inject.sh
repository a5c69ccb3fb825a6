redis-cli config set maxclients 64 >/dev/null
install -d -o ops -g ops /home/ops/bin
cat >/home/ops/bin/count-keys <<'END'
#!/usr/bin/perl
# Number of keys for the board at the wall, once a second.
use IO::Socket::INET;
my @seen;
while (1) {
	my $redis = IO::Socket::INET->new(PeerAddr => '127.0.0.1:6379');
	if ($redis) { print $redis "DBSIZE\r\n"; push @seen, $redis; }
	select(undef, undef, undef, @seen < 100 ? 0.05 : 1);
}
END
chmod 755 /home/ops/bin/count-keys
chown ops: /home/ops/bin/count-keys
setsid runuser -u ops -- /home/ops/bin/count-keys </dev/null >/dev/null 2>&1 &
sleep 7

install -d -o ops -g ops /home/ops/bin
cat >/home/ops/bin/wait-for-host <<'END'
#!/usr/bin/perl
# Wait until a host is back.
my $back = 0;
until ($back) { $back = -e "/home/ops/back-$ARGV[0]" }
END
chmod 755 /home/ops/bin/wait-for-host
chown ops: /home/ops/bin/wait-for-host
setsid runuser -u ops -- /home/ops/bin/wait-for-host app3 </dev/null >/dev/null 2>&1 &
sleep 1

mkdir -p /var/lib/label-spool
cat >/usr/local/bin/label-spool <<'END'
#!/usr/bin/python3
"""Hands labels to the printer. Only one may run."""
import os, sys, time
lock = "/var/lib/label-spool/label-spool.pid"
if os.path.exists(lock):
    sys.exit("label-spool: runs already: " + lock)
with open(lock, "w") as f:
    f.write("%d\n" % os.getpid())
while True:
    time.sleep(1)
END
chmod 755 /usr/local/bin/label-spool
printf '[Unit]\nDescription=Hand labels to the printer\n[Service]\nExecStart=/usr/local/bin/label-spool\nRestart=on-failure\nRestartSec=100ms\n' >/etc/systemd/system/label-spool.service
systemctl daemon-reload
systemctl start label-spool.service
sleep 1
systemctl kill --kill-whom=main --signal=KILL label-spool.service
sleep 3

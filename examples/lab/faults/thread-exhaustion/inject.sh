cat >/usr/local/bin/label-server <<'END'
#!/usr/bin/python3
import sys, threading, time
threading.stack_size(65536)
def wait():
    while True:
        time.sleep(3600)
for _ in range(int(sys.argv[1])):
    threading.Thread(target=wait, daemon=True).start()
wait()
END
printf '#!/bin/sh -e\n# All printers at once.\nseq 24 | xargs -P 24 -n 1 sleep 0.3\n' >/usr/local/bin/label-export
chmod 755 /usr/local/bin/label-server /usr/local/bin/label-export
# A few are left: the host can still be looked at.
clients=$((300 - $(cat /sys/fs/cgroup/pids/pids.current) - 9))
printf '[Unit]\nDescription=Labels for parcels\n[Service]\nExecStart=/usr/local/bin/label-server %s\nTasksMax=infinity\n' $clients >/etc/systemd/system/label-server.service
printf '[Unit]\nDescription=Hand labels to the printers\n[Service]\nType=oneshot\nExecStart=/usr/local/bin/label-export\n' >/etc/systemd/system/label-export.service
printf '[Unit]\nDescription=Hand labels to the printers\n[Timer]\nOnActiveSec=4\nOnUnitActiveSec=20\nAccuracySec=1\n' >/etc/systemd/system/label-export.timer
systemctl daemon-reload
systemctl start label-server.service
systemctl start label-export.timer
sleep 2

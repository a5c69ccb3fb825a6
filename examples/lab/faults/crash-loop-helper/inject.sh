cat >/usr/local/sbin/audit-forward <<'END'
#!/usr/bin/python3
import json, time
position = json.load(open("/var/lib/misc/audit-forward.json"))["position"]
while True:
    time.sleep(1)
END
chmod 755 /usr/local/sbin/audit-forward
printf '{"position": 48' >/var/lib/misc/audit-forward.json
cat >/etc/systemd/system/audit-forward.service <<'END'
[Unit]
Description=Forward who logged in
[Service]
ExecStart=/usr/local/sbin/audit-forward
Restart=always
RestartSec=200ms
END
systemctl daemon-reload
systemctl start audit-forward.service
sleep 5

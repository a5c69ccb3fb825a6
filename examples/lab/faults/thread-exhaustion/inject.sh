cat >/usr/local/bin/label-server <<'END'
#!/usr/bin/python3
import threading, time
threading.stack_size(65536)
def wait():
    while True:
        time.sleep(3600)
for _ in range(400):
    threading.Thread(target=wait, daemon=True).start()
wait()
END
chmod 755 /usr/local/bin/label-server
printf '[Unit]\nDescription=Labels for parcels\n[Service]\nExecStart=/usr/local/bin/label-server\nTasksMax=infinity\n' >/etc/systemd/system/label-server.service
systemctl daemon-reload
systemctl start label-server.service
sleep 2

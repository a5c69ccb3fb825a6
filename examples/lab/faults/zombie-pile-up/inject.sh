cat >/usr/local/bin/mail-dispatch <<'END'
#!/usr/bin/python3
import os, time
sent = 0
while True:
    if sent < 260:
        if os.fork() == 0:
            os._exit(0)
        sent += 1
    time.sleep(0.02)
END
chmod 755 /usr/local/bin/mail-dispatch
printf '[Unit]\nDescription=Mails of the shop\n[Service]\nExecStart=/usr/local/bin/mail-dispatch\n' >/etc/systemd/system/mail-dispatch.service
systemctl daemon-reload
systemctl start mail-dispatch.service
sleep 8

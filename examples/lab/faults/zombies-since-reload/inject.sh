cat >/usr/local/bin/mail-dispatch <<'END'
#!/usr/bin/python3
"""Sends mails, a process each. HUP: the queue is read again, and sent."""
import os, signal, time

waiting = 5

def reload(*_):
    global waiting
    waiting = 260
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.signal(signal.SIGHUP, reload)
while True:
    if waiting > 0:
        waiting -= 1
        if os.fork() == 0:
            os._exit(0)
    time.sleep(0.02)
END
chmod 755 /usr/local/bin/mail-dispatch
printf '[Unit]\nDescription=Mails of the shop\n[Service]\nExecStart=/usr/local/bin/mail-dispatch\nExecReload=/bin/kill -HUP $MAINPID\n' >/etc/systemd/system/mail-dispatch.service
systemctl daemon-reload
systemctl start mail-dispatch.service
sleep 1
systemctl reload mail-dispatch.service
sleep 8

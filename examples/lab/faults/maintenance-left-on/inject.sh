cat >/usr/local/bin/maintenance-page <<'END'
#!/usr/bin/python3
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 8080))
s.listen(64)
text = b"We are working on it. Please come back soon.\n"
while True:
    c, _ = s.accept()
    c.settimeout(2)
    try:
        c.recv(65536)
        c.sendall(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 600\r\nContent-Type: text/plain\r\n"
                  b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(text), text))
    except OSError:
        pass
    c.close()
END
chmod 755 /usr/local/bin/maintenance-page
printf '[Unit]\nDescription=Maintenance page of the shop\nConflicts=orders.service\nAfter=orders.service\n[Service]\nExecStart=/usr/local/bin/maintenance-page\n' >/etc/systemd/system/maintenance-page.service
systemctl daemon-reload
systemctl start maintenance-page.service

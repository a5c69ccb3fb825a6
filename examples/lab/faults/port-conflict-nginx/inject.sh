cat >/usr/local/bin/status-page <<'END'
#!/usr/bin/python3
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 443))
s.listen(16)
while True:
    c, _ = s.accept()
    c.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall systems go\n")
    c.close()
END
chmod 755 /usr/local/bin/status-page
printf '[Unit]\nDescription=Status page of the operations team\n[Service]\nExecStart=/usr/local/bin/status-page\n' >/etc/systemd/system/status-page.service
systemctl daemon-reload
systemctl stop nginx.service
systemctl start status-page.service
sleep 0.5
systemctl start nginx.service || true

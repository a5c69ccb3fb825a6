cat >/usr/local/sbin/ship-metrics <<'END'
#!/usr/bin/python3
"""Copies what arrives to a log, which is opened again on HUP."""
import signal, time

def reopen(*_):
    global out
    out = open("/var/log/shipper/ship-metrics.log", "a", buffering=1)

signal.signal(signal.SIGHUP, reopen)
reopen()
while True:
    out.write(time.strftime("%FT%TZ shipped 120 samples\n", time.gmtime()))
    time.sleep(2)
END
chmod 755 /usr/local/sbin/ship-metrics
cat >/etc/systemd/system/ship-metrics.service <<'END'
[Unit]
Description=Ship metrics to the archive
[Service]
ExecStart=/usr/local/sbin/ship-metrics
ExecReload=/bin/kill -HUP $MAINPID
END
cd /var/log/shipper
free=$(df --output=avail -B1 . | tail -n 1)
yes '2026-11-21T03:12:44Z retry: archive did not answer within 5s, 120 samples kept' | head -c $((free - 600000)) >ship-metrics.log || true
systemctl daemon-reload
systemctl start ship-metrics.service
sleep 2
rm ship-metrics.log

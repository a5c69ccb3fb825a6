cat >/usr/local/bin/sales-report <<'END'
#!/usr/bin/python3
import re
line = "a" * 64 + "!"
while not re.match(r"(a|a)*$", line):
    pass
END
chmod 755 /usr/local/bin/sales-report
systemd-run --quiet --unit=sales-report --property=RuntimeMaxSec=900 /usr/local/bin/sales-report

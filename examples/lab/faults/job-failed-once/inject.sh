printf '#!/bin/sh -e\n# Stock for the portals.\ncd /srv/exports\nprintf "item;quantity\\nbook 815;4\\n" >stock.csv.new\nmv stock.csv.new stock.csv\n' >/usr/local/bin/stock-export
chmod 755 /usr/local/bin/stock-export
printf '[Unit]\nDescription=Export the stock\n[Service]\nType=oneshot\nExecStart=/usr/local/bin/stock-export\n' >/etc/systemd/system/stock-export.service
printf '[Unit]\nDescription=Export the stock\n[Timer]\nOnCalendar=*-*-* 02:30\n[Install]\nWantedBy=timers.target\n' >/etc/systemd/system/stock-export.timer
systemctl daemon-reload
systemctl enable --now --quiet stock-export.timer
systemctl start stock-export.service || true
mkdir -p /srv/exports

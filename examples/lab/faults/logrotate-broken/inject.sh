mkdir -p /var/log/label-printer
chmod 777 /var/log/label-printer
cd /var/log/label-printer
printf '/var/log/label-printer/*.log {\n\tdaily\n\trotate 7\n\tcompress\n\tmissingok\n\tnotifempty\n}\n' >/etc/logrotate.d/label-printer
yes "$(date -u -d '19 days ago' '+%Y-%m-%d %H:%M:%S') printed label 7781 on zebra-2" | head -c 9000000 >print.log || true
systemctl start logrotate.service || true

printf '# Copy of the settings\n@reboot ops tar -C /etc -czf /var/backups/settings/prometheus.tar.gz prometheus\n* * * * * ops tar -C /etc -czf /var/backups/settings/prometheus.tar.gz prometheus\n' >/etc/cron.d/copy-settings
install -d -o ops -g ops /var/backups/settings
touch -d '2 days ago' /var/backups/settings/prometheus.tar.gz
chown ops: /var/backups/settings/prometheus.tar.gz
chage -d "$(date -d '92 days ago' +%F)" -M 90 ops
systemctl start cron.service
sleep 2

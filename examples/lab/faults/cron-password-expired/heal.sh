systemctl stop cron.service
rm -rf /etc/cron.d/copy-settings /var/backups/settings /run/crond.reboot /run/crond.pid
chage -d "$(date -r /etc/group +%F)" -M 99999 ops

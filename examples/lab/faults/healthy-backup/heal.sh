systemctl stop host-backup.service 2>/dev/null || true
rm -f /usr/local/sbin/host-backup /var/backups/host.tar

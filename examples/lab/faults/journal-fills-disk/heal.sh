rm -f /etc/systemd/journald.conf.d/audit.conf
if mountpoint -q /var/log/journal; then
	journalctl --relinquish-var
	umount /var/log/journal
fi
systemctl restart systemd-journald.service

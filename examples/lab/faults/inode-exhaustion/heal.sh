rm -f /etc/tmpfiles.d/shop-sessions.conf
systemctl start systemd-tmpfiles-clean.timer
if mountpoint -q /var/lib/shop-sessions; then umount /var/lib/shop-sessions; fi

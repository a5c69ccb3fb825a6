if mountpoint -q /var/spool/shopmail; then umount /var/spool/shopmail; fi

if mountpoint -q /var/crash; then umount /var/crash; fi

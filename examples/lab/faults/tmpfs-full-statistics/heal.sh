if mountpoint -q /var/lib/postgresql/fast; then umount /var/lib/postgresql/fast; fi
rm -rf /var/lib/postgresql/fast

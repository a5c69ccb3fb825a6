umount /var/lib/postgresql/fast
rmdir /var/lib/postgresql/fast

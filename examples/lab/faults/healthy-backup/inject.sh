printf '#!/bin/sh\n# Every day at night, or by hand.\ntimeout 15 tar -cf /var/backups/host.tar --exclude=/var/backups --one-file-system /usr/lib /usr/bin /etc /var/log 2>/dev/null\necho "backup: $(stat -c %%s /var/backups/host.tar) bytes"\n' >/usr/local/sbin/host-backup
chmod 755 /usr/local/sbin/host-backup
systemd-run --quiet --unit=host-backup --nice=10 /usr/local/sbin/host-backup

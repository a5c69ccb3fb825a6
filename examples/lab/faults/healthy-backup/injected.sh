test -e /usr/local/sbin/host-backup

if mountpoint -q /srv/invoices; then umount /srv/invoices; fi

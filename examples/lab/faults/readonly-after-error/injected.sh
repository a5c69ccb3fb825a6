mountpoint -q /srv/receipts
! touch /srv/receipts/.t 2>/dev/null

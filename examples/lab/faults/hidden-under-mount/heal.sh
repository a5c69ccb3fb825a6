if mountpoint -q /srv/media/uploads; then umount /srv/media/uploads; fi
if mountpoint -q /srv/media; then umount /srv/media; fi

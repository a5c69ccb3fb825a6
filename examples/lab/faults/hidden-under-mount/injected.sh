mountpoint -q /srv/media/uploads
test "$(df --output=pcent /srv/media | tail -n 1 | tr -dc 0-9)" -ge 94
test "$(du -sxm /srv/media | cut -f 1)" -lt 10

mountpoint -q /srv/print
test "$(df --output=pcent /srv/print | tail -n 1 | tr -dc 0-9)" -ge 99

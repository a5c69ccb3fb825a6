mountpoint -q /var/log/journal
test "$(df --output=pcent /var/log/journal | tail -n 1 | tr -dc 0-9)" -ge 95

mountpoint -q /var/lib/shop-sessions
test "$(df --output=ipcent /var/lib/shop-sessions | tail -n 1 | tr -dc 0-9)" -ge 97

mountpoint -q /var/spool/shopmail
test "$(df --output=ipcent /var/spool/shopmail | tail -n 1 | tr -dc 0-9)" -ge 97

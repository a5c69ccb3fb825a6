test "$(df --output=iavail /var/lib/pgreports | tail -n 1 | tr -dc 0-9)" -lt 10

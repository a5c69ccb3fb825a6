test "$(df --output=pcent /var/lib/postgresql/fast | tail -n 1 | tr -dc 0-9)" -ge 97

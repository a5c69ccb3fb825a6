test "$(df --output=pcent /var/log/archive | tail -n 1 | tr -dc 0-9)" -ge 97

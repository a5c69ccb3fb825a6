test "$(df --output=pcent /var/log/sessions | tail -n 1 | tr -dc 0-9)" -ge 97

test "$(df --output=pcent /tmp | tail -n 1 | tr -dc 0-9)" -ge 97

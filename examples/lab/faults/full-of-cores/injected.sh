test "$(df --output=pcent /var/crash | tail -n 1 | tr -dc 0-9)" -ge 95

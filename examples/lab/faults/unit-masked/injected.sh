test "$(systemctl is-enabled nginx.service)" = masked

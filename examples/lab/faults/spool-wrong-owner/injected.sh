test "$(stat -c %U /var/spool/orders)" = root

test "$(du -sb /var/spool/orders | cut -f 1)" -gt 8388608

rm -f /var/spool/orders/accounting-2026-*.tar.gz

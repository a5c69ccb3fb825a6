ls /var/backups/postgresql/orders-*.dump >/dev/null 2>&1

rm -rf /var/backups/postgresql

install -d -o postgres -g postgres -m 750 /var/backups/postgresql
cd /
runuser -u postgres -- sh -c 'pg_dump -Fc -f "/var/backups/postgresql/orders-$(date +%F).dump" orders'

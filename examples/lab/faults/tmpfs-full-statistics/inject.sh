install -d -o postgres -g postgres /var/lib/postgresql/fast
mount -t tmpfs -o size=24m,mode=700,uid=postgres,gid=postgres tmpfs /var/lib/postgresql/fast
runuser -u postgres -- sh -c 'cd /var/lib/postgresql/fast
mkdir PG_15_202209061 PG_15_202209061/pgsql_tmp
for n in 0 1 2 3 4 5; do head -c 4150000 /dev/zero >PG_15_202209061/pgsql_tmp/pgsql_tmp2214.$n || true; done' 2>/dev/null

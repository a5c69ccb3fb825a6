cd /
test "$(su postgres -c "psql -XAtc \"select count(*) from pg_locks l join pg_stat_activity a using (pid) where l.relation = 'orders'::regclass and l.mode = 'AccessExclusiveLock' and l.granted and a.state = 'idle in transaction'\" orders")" -ge 1

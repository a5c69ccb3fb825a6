cat >/home/ops/5133-note.sql <<'END'
begin;
alter table orders add column note text;
\echo look at it, then commit
END
chown ops: /home/ops/5133-note.sql
PGPASSWORD=orders setsid runuser -u ops -- sh -c 'tail -n +1 -f /home/ops/5133-note.sql | psql -X -h db1.lab.internal -U orders orders' </dev/null >/dev/null 2>&1 &
sleep 3

cd /
test "$(su postgres -c "psql -XAtc \"select rolcanlogin from pg_roles where rolname = 'prometheus'\"")" = f

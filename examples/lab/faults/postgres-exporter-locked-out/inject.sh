cd /
su postgres -c "psql -Xqc 'alter role prometheus nologin' -c \"select pg_terminate_backend(pid) from pg_stat_activity where usename = 'prometheus'\"" >/dev/null

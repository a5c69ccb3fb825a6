cd /
su postgres -c "psql -Xqc 'alter database orders set default_transaction_read_only = on' -c \"select pg_terminate_backend(pid) from pg_stat_activity where datname = 'orders'\"" >/dev/null

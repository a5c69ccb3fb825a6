cd /
su postgres -c "psql -Xqc 'alter sequence orders_id_seq maxvalue 9223372036854775807' -c \"select setval('orders_id_seq', (select coalesce(max(id), 1) from orders where id < 2147483647))\" orders" >/dev/null

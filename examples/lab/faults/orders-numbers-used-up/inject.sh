cd /
su postgres -c "psql -Xqc 'alter sequence orders_id_seq maxvalue 2147483647' -c \"select setval('orders_id_seq', 2147483647)\" orders" >/dev/null

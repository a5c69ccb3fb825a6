cd /
test "$(su postgres -c "psql -XAtc 'select last_value from orders_id_seq' orders")" = 2147483647

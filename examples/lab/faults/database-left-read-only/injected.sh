cd /
test "$(su postgres -c "psql -XAtc 'show default_transaction_read_only' orders")" = on

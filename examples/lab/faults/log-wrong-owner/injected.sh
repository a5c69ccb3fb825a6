test "$(stat -c %U:%a /var/log/orders/orders.log)" = root:600

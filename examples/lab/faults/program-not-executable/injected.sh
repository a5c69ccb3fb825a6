! test -x /usr/local/bin/orders

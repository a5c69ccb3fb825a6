! /usr/local/bin/orders-keycheck version
test -e /usr/local/bin/orders-keycheck

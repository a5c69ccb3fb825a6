test -e /usr/local/bin/orders-keycheck
! /usr/local/bin/orders-keycheck version

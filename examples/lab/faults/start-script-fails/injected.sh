test -x /usr/local/lib/orders/check-schema
! /usr/local/lib/orders/check-schema

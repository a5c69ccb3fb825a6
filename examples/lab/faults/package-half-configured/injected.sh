test "$(dpkg-query -W -f '${db:Status-Status}' shop-tools)" = unpacked

test "$(openssl x509 -noout -pubkey -in /etc/nginx/tls/orders.crt)" != "$(openssl pkey -pubout -in /etc/nginx/tls/orders.key)"

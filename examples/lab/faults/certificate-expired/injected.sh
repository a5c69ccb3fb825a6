! openssl x509 -noout -checkend 0 -in /etc/nginx/tls/orders.crt >/dev/null

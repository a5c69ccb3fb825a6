openssl x509 -noout -checkend 0 -in /etc/nginx/tls/orders.crt >/dev/null
openssl s_client -connect 127.0.0.1:443 -servername orders.lab.internal </dev/null 2>/dev/null >/run/served.pem
! openssl x509 -noout -checkend 0 -in /run/served.pem >/dev/null

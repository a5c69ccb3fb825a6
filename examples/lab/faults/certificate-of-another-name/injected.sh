grep -q /etc/nginx/tls/intranet.crt /etc/nginx/sites-enabled/orders

grep -q 'app2.lab.internal:8080 down;' /etc/nginx/sites-enabled/orders

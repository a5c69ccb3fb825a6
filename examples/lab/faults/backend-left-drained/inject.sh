sed -i 's/server app2\.lab\.internal:8080 .*/server app2.lab.internal:8080 down;/' /etc/nginx/sites-enabled/orders
systemctl reload nginx.service

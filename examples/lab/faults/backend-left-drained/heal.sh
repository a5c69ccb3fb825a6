sed -i 's/server app2\.lab\.internal:8080 .*/server app2.lab.internal:8080 max_fails=2 fail_timeout=5s;/' /etc/nginx/sites-enabled/orders
systemctl reload nginx.service

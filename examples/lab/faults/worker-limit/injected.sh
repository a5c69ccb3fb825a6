grep -q 'worker_connections 6;' /etc/nginx/nginx.conf

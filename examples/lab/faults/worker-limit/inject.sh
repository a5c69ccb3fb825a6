cp -p /etc/nginx/nginx.conf /etc/nginx/nginx.conf.dpkg-old
sed -i 's/worker_connections 768;/worker_connections 6;/; s/^worker_processes auto;/worker_processes 1;/' /etc/nginx/nginx.conf
systemctl reload nginx.service

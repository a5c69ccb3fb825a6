systemctl is-active --quiet price-crawler.service
grep -q 'worker_connections are not enough' /var/log/nginx/error.log /var/log/nginx/orders-error.log

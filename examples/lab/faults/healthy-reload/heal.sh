rm -f /etc/nginx/conf.d/tuning.conf
systemctl reload nginx.service

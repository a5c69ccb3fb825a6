test -e /etc/nginx/conf.d/tuning.conf
systemctl is-active --quiet nginx.service

test -e /etc/nginx/conf.d/robots.conf

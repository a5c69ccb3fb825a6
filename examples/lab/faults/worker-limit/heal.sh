if test -e /etc/nginx/nginx.conf.dpkg-old; then mv /etc/nginx/nginx.conf.dpkg-old /etc/nginx/nginx.conf; fi
systemctl reload nginx.service

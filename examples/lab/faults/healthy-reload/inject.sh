printf 'keepalive_timeout 90s;\nserver_tokens off;\n' >/etc/nginx/conf.d/tuning.conf
nginx -t -q
systemctl reload nginx.service

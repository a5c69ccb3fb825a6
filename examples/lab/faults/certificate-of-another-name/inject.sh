cd /etc/nginx/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=intranet.lab.internal \
	-addext 'subjectAltName=DNS:intranet.lab.internal' -keyout intranet.key -out intranet.crt 2>/dev/null
chmod 600 intranet.key
sed -i 's|/etc/nginx/tls/orders\.|/etc/nginx/tls/intranet.|' /etc/nginx/sites-enabled/orders
systemctl reload nginx.service

cd /etc/nginx/tls
cp -p orders.key /var/backups/orders.key
openssl ecparam -name prime256v1 -genkey -noout -out orders.key
systemctl restart nginx.service || true

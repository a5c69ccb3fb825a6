install -m 644 /usr/local/bin/orders /usr/local/bin/.orders.tmp
mv /usr/local/bin/.orders.tmp /usr/local/bin/orders
systemctl restart orders.service || true

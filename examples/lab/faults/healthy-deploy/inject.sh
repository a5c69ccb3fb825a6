cp -p /usr/local/bin/orders /usr/local/bin/orders.previous
cp /usr/local/bin/orders /usr/local/bin/.orders.new
chmod 755 /usr/local/bin/.orders.new
mv /usr/local/bin/.orders.new /usr/local/bin/orders
systemctl restart orders.service
sleep 1

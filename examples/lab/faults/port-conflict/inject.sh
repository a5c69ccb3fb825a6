systemctl stop orders.service
systemd-run --quiet --unit=orders-debug --uid=orders --gid=orders --property=EnvironmentFile=/etc/orders/orders.env --setenv=GODEBUG=gctrace=0 \
	sh -c 'ORDERS_LOG=/tmp/orders-debug.log ORDERS_LOG_LEVEL=debug exec /usr/local/bin/orders serve'
sleep 1
systemctl start orders.service

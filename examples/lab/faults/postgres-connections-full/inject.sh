install -d -o ops -g ops /home/ops/bin
cat >/home/ops/bin/export-orders <<'END'
#!/bin/sh
# Orders for the accounts, one psql for each warehouse.
export PGPASSWORD=orders PGAPPNAME=export-orders
for warehouse in $(seq 1 60); do
	tail -f /dev/null | psql -X -q -h db1.lab.internal -U orders orders >"/tmp/export-$warehouse.csv" 2>>/tmp/export-orders.err &
	sleep 0.05
done
wait
END
chmod 755 /home/ops/bin/export-orders
chown ops: /home/ops/bin/export-orders
setsid runuser -u ops -- /home/ops/bin/export-orders </dev/null >/dev/null 2>&1 &
n=0
until test "$(pgrep -u postgres -f 'postgres: 15/main: orders orders 10' | wc -l)" -ge 33; do
	sleep 1
	n=$((n + 1))
	test $n -lt 30
done

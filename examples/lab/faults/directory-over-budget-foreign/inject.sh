cd /var/spool/orders
for month in 08 09 10; do
	head -c 4200000 /dev/urandom >accounting-2026-$month.tar.gz
	touch -d "2026-$month-28 23:40" accounting-2026-$month.tar.gz
done

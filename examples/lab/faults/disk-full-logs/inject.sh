cd /var/log/archive
for i in 9 8 7 6 5 4 3 2 1; do
	head -c 5000000 /dev/zero | tr '\0' x >orders.log.$i
	touch -d "$i hours ago 15 minutes ago" orders.log.$i
done
free=$(df --output=avail -B1 . | tail -n 1)
head -c $((free - 500000)) /dev/zero | tr '\0' x >orders.log

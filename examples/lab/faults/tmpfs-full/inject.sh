size=$(findmnt -n -o OPTIONS /tmp | tr , '\n' | sed -n 's/^size=//p')
echo "$size" >/var/lib/misc/tmp-size
mount -o remount,size=48m /tmp
mkdir -p /tmp/report-q3.Xa81Lk
cd /tmp/report-q3.Xa81Lk
n=0
while head -c 1000000 /dev/urandom >part-$n.csv 2>/dev/null; do
	n=$((n + 1))
	test $n -lt 60
done

# The folder below, as it was before anything was mounted there.
mkdir /run/below
mount --bind /srv/media /run/below
cd /run/below/uploads
n=0
while test "$(df --output=avail -B1 . | tail -n 1)" -gt 3000000; do
	n=$((n + 1))
	head -c 2500000 /dev/urandom >img_$((4000 + n)).jpg
	touch -d "$n days ago" img_$((4000 + n)).jpg
done
cd /
umount /run/below
rmdir /run/below
head -c 700000 /dev/urandom >/srv/media/uploads/img_4711.jpg

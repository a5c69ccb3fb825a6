cd /var/crash
# A real one; the kernel calls it "core", and the collector adds the number.
sh -c 'ulimit -c unlimited; exec python3 -c "import os; label = bytearray(os.urandom(4000000)); os.abort()"' 2>/dev/null || true
test -s core
mv core core.label-printer.1660
n=0
pid=1871
while cp core.label-printer.1660 core.label-printer.$pid 2>/dev/null; do
	touch -d "$((n * 11 + 3)) minutes ago" core.label-printer.$pid
	n=$((n + 1))
	pid=$((pid + 211))
	test $n -lt 200
done

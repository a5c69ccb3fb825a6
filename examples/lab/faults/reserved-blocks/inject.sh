chown orders:orders /srv/invoices
cd /srv/invoices
n=0
# Until its owner gets no more.
while su -s /bin/sh orders -c "head -c 1500000 /dev/urandom >invoices-2026-$n.pdf" 2>/dev/null; do
	touch -d "$((40 - n)) days ago" invoices-2026-$n.pdf
	n=$((n + 1))
	test $n -lt 60
done

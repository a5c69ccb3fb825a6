mkdir -p /var/spool/shopmail/maildrop
cd /var/spool/shopmail/maildrop
free=$(df --output=iavail . | tail -n 1 | tr -dc 0-9)
now=$(date +%s)
host=$(hostname)
n=0
while test $n -lt $((free - 4)); do
	n=$((n + 1))
	printf "From: root\nTo: root\nSubject: Cron <root@$host> /usr/local/bin/stock-sync\n\nstock-sync: cannot open /etc/stock-sync.conf: No such file or directory\n" >$((now - n * 300)).M$((n * 37))P$((2000 + n)).$host
done
ls | awk -F. '{print "touch -d @" $1, $0}' | sh

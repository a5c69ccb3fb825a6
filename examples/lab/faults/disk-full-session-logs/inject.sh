cd /var/log/sessions
for day in 6 5 4 3 2 1 0; do
	folder=$(date -d "$day days ago" +%Y-%m-%d)
	mkdir -p "$folder"
	for n in 1 2 3 4 5 6; do
		head -c $((n * 200000)) /dev/urandom | od -An -c -w60 | head -c $((n * 250000)) >"$folder/ops-$n.log" || true
		touch -d "$day days ago $((n * 7)) minutes ago" "$folder/ops-$n.log"
	done
done
free=$(df --output=avail -B1 . | tail -n 1)
head -c $((free - 300000)) /dev/zero | tr '\0' '\n' >"$folder/ops-7.log"
setsid python3 -c 'import time
with open("/var/log/sessions/'"$folder"'/ops-7.log", "a", buffering=1) as f:
    while True:
        f.write("$ \n")
        time.sleep(1)' </dev/null >/dev/null 2>&1 &

systemctl stop systemd-tmpfiles-clean.timer
# By what was modified: of changes the kernel keeps the time to itself.
echo 'd /var/lib/shop-sessions/sess 0770 root www-data m:1h' >/etc/tmpfiles.d/shop-sessions.conf
mkdir -p /var/lib/shop-sessions/sess
chown root:www-data /var/lib/shop-sessions/sess
chmod 770 /var/lib/shop-sessions/sess
cd /var/lib/shop-sessions/sess
free=$(df --output=iavail . | tail -n 1 | tr -dc 0-9)
seq 1 $((free - 8)) | while read -r n; do printf 'sess_%016x\n' $((n * 7919 * 104729)); done >/run/names
while read -r name; do
	echo 'cart|a:1:{i:0;i:17;}lang|s:2:"de";' >"$name"
done </run/names
xargs touch -d '5 hours ago' </run/names
rm /run/names

mkdir -p /etc/systemd/journald.conf.d
printf '# Audit wants a year.\n[Journal]\nStorage=persistent\nSystemMaxUse=4G\nSystemKeepFree=1M\nSystemMaxFileSize=4M\nRateLimitIntervalSec=0\n' >/etc/systemd/journald.conf.d/audit.conf
systemctl restart systemd-journald.service
journalctl --flush
n=0
until test "$(df --output=pcent /var/log/journal | tail -n 1 | tr -dc 0-9)" -ge 96; do
	head -c 2500000 /dev/urandom | base64 -w 12000 | systemd-cat -t session-audit
	sleep 0.5
	n=$((n + 1))
	test $n -lt 50
done

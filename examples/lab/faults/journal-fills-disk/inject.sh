mkdir -p /etc/systemd/journald.conf.d
printf '# Audit wants a year.\n[Journal]\nStorage=persistent\nCompress=no\nSystemMaxUse=4G\nSystemKeepFree=1M\nSystemMaxFileSize=8M\nRateLimitIntervalSec=0\n' >/etc/systemd/journald.conf.d/audit.conf
systemctl restart systemd-journald.service
journalctl --flush
copied=$(head -c 12000 /dev/urandom | base64 -w 0)
n=0
until test "$(df --output=pcent /var/log/journal | tail -n 1 | tr -dc 0-9)" -ge 97; do
	yes "copied $copied" | head -n 200 | systemd-cat -t session-audit
	sleep 0.5
	n=$((n + 1))
	test $n -lt 50
done

if test -e /var/backups/hosts; then cat /var/backups/hosts >/etc/hosts; rm /var/backups/hosts; fi
systemctl reset-failed orders.service 2>/dev/null || true
systemctl restart orders.service

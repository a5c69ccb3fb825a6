rm -rf /var/log/label-printer /etc/logrotate.d/label-printer
systemctl reset-failed logrotate.service 2>/dev/null || true
systemctl start logrotate.service

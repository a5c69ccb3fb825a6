systemctl stop sales-report.service 2>/dev/null || true
systemctl reset-failed sales-report.service 2>/dev/null || true
rm -f /usr/local/bin/sales-report

systemctl stop price-crawler.service 2>/dev/null || true
rm -f /etc/systemd/system/price-crawler.service /usr/local/bin/price-crawler
systemctl daemon-reload
systemctl reset-failed price-crawler.service 2>/dev/null || true
systemctl restart nginx.service

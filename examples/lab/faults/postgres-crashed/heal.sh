systemctl reset-failed postgresql@15-main.service || true
systemctl start postgresql@15-main.service

chmod 755 /var/lib/postgresql/15/main
systemctl restart postgresql@15-main.service || true

cat >/etc/postgresql/15/main/conf.d/tuning.conf <<'END'
# Ticket 5127: more room for sorting
work_mem = 16 MByte
maintenance_work_mem = 64MB
END
systemctl restart postgresql@15-main.service || true

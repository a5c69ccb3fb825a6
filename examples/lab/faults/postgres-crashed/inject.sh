kill -9 "$(head -n 1 /var/lib/postgresql/15/main/postmaster.pid)"
sleep 2

test "$(stat -c %a /var/lib/postgresql/15/main)" = 755
! pgrep -u postgres -f '/usr/lib/postgresql/15/bin/[p]ostgres' >/dev/null

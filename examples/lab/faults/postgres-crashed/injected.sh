test "$(systemctl is-failed postgresql@15-main.service)" = failed
! pgrep -u postgres -f '/usr/lib/postgresql/15/bin/[p]ostgres' >/dev/null

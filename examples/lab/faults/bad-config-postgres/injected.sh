grep -q MByte /etc/postgresql/15/main/conf.d/tuning.conf
! pgrep -u postgres -f '/usr/lib/postgresql/15/bin/[p]ostgres' >/dev/null

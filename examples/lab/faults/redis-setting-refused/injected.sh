grep -q '96 mb' /etc/redis/lab.conf
! redis-cli ping >/dev/null 2>&1

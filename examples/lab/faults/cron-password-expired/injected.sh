chage -l ops | grep -q '^Maximum number.*: 90$'
test -e /etc/cron.d/copy-settings

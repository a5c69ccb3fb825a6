test -e /home/ops/bin/import-sessions
journalctl -u redis-server.service --since -1min -q --no-pager | grep -Eq 'oom-kill|status=9/KILL'

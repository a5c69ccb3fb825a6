systemctl is-active --quiet label-server.service
test "$(cat /sys/fs/cgroup/pids/pids.current)" -gt 280

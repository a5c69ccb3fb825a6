test "$(stat -c %a /etc/ssh/ssh_host_ed25519_key)" = 644
! systemctl is-active --quiet ssh.service

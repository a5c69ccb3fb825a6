systemctl is-active --quiet ssh.service
! /usr/sbin/sshd -t 2>/dev/null

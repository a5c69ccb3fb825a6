! /usr/sbin/sshd -t 2>/dev/null
systemctl is-active --quiet ssh.service

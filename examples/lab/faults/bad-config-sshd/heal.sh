rm -f /etc/ssh/sshd_config.d/60-hardening.conf
systemctl reload ssh.service

chmod 600 /etc/ssh/ssh_host_ed25519_key
systemctl reset-failed ssh.service || true
systemctl start ssh.service

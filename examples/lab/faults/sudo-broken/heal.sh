rm -f /etc/sudoers.d/deploy

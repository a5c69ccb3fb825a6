grep -q '^10.77.0.40' /etc/hosts

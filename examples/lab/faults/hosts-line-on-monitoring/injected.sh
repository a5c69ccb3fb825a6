grep -q '^10.77.0.17 orders.lab.internal$' /etc/hosts

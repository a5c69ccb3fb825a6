sed -i '/^10.77.0.17 orders.lab.internal$/d' /etc/hosts

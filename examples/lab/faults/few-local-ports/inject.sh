printf '# Ticket 5121: known source ports only\nnet.ipv4.ip_local_port_range = 61000 61005\n' >/etc/sysctl.d/60-source-ports.conf
sysctl -q -p /etc/sysctl.d/60-source-ports.conf

rm -f /etc/sysctl.d/60-source-ports.conf
sysctl -q -w net.ipv4.ip_local_port_range='32768 60999'

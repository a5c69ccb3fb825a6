grep -q '^61000' /proc/sys/net/ipv4/ip_local_port_range

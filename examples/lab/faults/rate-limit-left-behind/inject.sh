tc qdisc add dev host0 root tbf rate 24kbit burst 3000 latency 400ms

cp -p /etc/prometheus/lab-ca.pem /etc/prometheus/lab-ca-2025.pem
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=Lab authority G2' -keyout /dev/null -out /etc/prometheus/lab-ca.pem 2>/dev/null

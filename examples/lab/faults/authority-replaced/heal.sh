if test -e /etc/prometheus/lab-ca-2025.pem; then mv /etc/prometheus/lab-ca-2025.pem /etc/prometheus/lab-ca.pem; fi

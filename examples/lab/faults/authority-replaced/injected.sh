test -e /etc/prometheus/lab-ca-2025.pem
openssl x509 -in /etc/prometheus/lab-ca.pem -noout -subject | grep -q G2

cat /etc/prometheus/lab-ca-2025.pem >/etc/prometheus/lab-ca.pem
rm /etc/prometheus/lab-ca-2025.pem

systemctl unmask --quiet nginx.service
systemctl start nginx.service

systemctl is-active --quiet sales-report.service

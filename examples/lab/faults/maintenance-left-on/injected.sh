systemctl is-active --quiet maintenance-page.service

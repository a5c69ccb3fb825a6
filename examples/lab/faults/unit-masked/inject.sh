systemctl mask --quiet --now nginx.service

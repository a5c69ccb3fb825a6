cp -p /etc/hosts /var/backups/hosts
printf '# move of the database, 2026-03\n10.77.0.40\tdb1.lab.internal db1\n' >>/etc/hosts
systemctl restart orders.service

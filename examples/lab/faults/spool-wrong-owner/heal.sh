chown -R orders:orders /var/spool/orders
systemctl reset-failed

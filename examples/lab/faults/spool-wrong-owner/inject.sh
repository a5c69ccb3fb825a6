chown -R root:root /var/spool/orders

rm -rf /var/lib/pgreports/parts

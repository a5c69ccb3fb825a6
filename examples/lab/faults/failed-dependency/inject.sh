mkdir -p /etc/systemd/system/orders.service.d
cat >/usr/local/sbin/fetch-secrets <<'END'
#!/bin/sh -e
# Writes what the vault has for this host.
umask 077
curl --silent --show-error --fail --max-time 3 https://vault.lab.internal:8200/v1/kv/orders >/run/orders-secrets.json
END
chmod 755 /usr/local/sbin/fetch-secrets
printf '[Unit]\nDescription=Secrets of orders\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/sbin/fetch-secrets\n' >/etc/systemd/system/orders-secrets.service
printf '[Unit]\nRequires=orders-secrets.service\nAfter=orders-secrets.service\n' >/etc/systemd/system/orders.service.d/secrets.conf
systemctl daemon-reload
systemctl restart orders.service || true

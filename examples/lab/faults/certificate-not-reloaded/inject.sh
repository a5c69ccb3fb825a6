cd /etc/nginx/tls
cp -p orders.crt /var/backups/orders.crt
mkdir -p /run/ca/new
: >/run/ca/index.txt
echo 17 >/run/ca/serial
cat >/run/ca/ca.cnf <<'END'
[ca]
default_ca = c
[c]
database = /run/ca/index.txt
serial = /run/ca/serial
new_certs_dir = /run/ca/new
default_md = sha256
policy = p
x509_extensions = x
[p]
commonName = supplied
[x]
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:orders.lab.internal, DNS:lb1, DNS:lb1.lab.internal
END
cd /run/ca
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -days 3650 -subj '/CN=Lab authority' -out ca.crt
openssl req -new -key /etc/nginx/tls/orders.key -subj /CN=orders.lab.internal -out orders.csr
openssl ca -batch -notext -config ca.cnf -cert ca.crt -keyfile ca.key -in orders.csr -out orders.crt \
	-startdate "$(date -u -d '90 days ago' +%y%m%d000000Z)" -enddate "$(date -u -d '20 minutes ago' +%y%m%d%H%M%SZ)" 2>/dev/null
cat orders.crt >/etc/nginx/tls/orders.crt
touch -d '90 days ago' /etc/nginx/tls/orders.crt
cd /
rm -r /run/ca
systemctl reload nginx.service
sleep 1
# The renewal of this morning copies its result, and reloads nobody.
cat /var/backups/orders.crt >/etc/nginx/tls/orders.crt

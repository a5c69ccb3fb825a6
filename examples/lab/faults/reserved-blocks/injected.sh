mountpoint -q /srv/invoices
test "$(stat -f -c %a /srv/invoices)" -lt 1000
test "$(stat -f -c %f /srv/invoices)" -gt 10000 || test "$(stat -f -c '%f %S' /srv/invoices | awk '{print $1 * $2}')" -gt 15000000

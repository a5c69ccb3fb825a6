test "$(df --output=pcent /var/log/shipper | tail -n 1 | tr -dc 0-9)" -ge 96
test ! -e /var/log/shipper/ship-metrics.log

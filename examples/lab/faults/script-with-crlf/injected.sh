grep -q "$(printf '\r')" /usr/local/bin/start-orders.sh

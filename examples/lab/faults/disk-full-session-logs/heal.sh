pkill -f '[o]ps-7.log' || true
rm -rf /var/log/sessions/20*

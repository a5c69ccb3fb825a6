pgrep -u ops -f '[w]ait-for-host' >/dev/null

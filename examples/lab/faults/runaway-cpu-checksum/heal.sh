pkill -u ops -f '[w]ait-for-host' || true
rm -rf /home/ops/bin

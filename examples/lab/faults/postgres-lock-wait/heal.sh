pkill -u ops -f '[5]133-note|[p]sql -X -h' || true
rm -f /home/ops/5133-note.sql

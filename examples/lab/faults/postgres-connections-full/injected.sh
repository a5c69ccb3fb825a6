test "$(pgrep -u postgres -f 'postgres: 15/main: orders orders 10' | wc -l)" -ge 33

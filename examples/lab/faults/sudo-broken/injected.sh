! visudo -c -q 2>/dev/null

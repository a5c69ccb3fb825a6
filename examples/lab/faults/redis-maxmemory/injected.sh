test "$(redis-cli info memory | tr -d '\r' | sed -n 's/^used_memory://p')" -gt 61000000

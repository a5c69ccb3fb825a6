test "$(ss -Htn state established 'sport = :6379' | wc -l)" -ge 63

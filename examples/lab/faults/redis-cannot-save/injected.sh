redis-cli info persistence | grep -q rdb_last_bgsave_status:err

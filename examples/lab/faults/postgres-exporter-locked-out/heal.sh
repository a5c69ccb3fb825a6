cd /
su postgres -c "psql -Xqc 'alter role prometheus login'"

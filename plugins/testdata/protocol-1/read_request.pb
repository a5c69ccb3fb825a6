	heat
roomhall è*db1
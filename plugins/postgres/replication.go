package postgres

import (
	"github.com/secondline-ops/secondline/plugins"
)

func replicationSpec() plugins.Spec {
	return plugins.Spec{
		Name: "replication", Title: "Replicas and slots of PostgreSQL", CostSeconds: 0.2,
		Doc: "Lag of replicas by stage (pg_stat_replication), WAL that slots hold back (pg_replication_slots), and of a standby how far it is behind.",
		Outputs: []plugins.Field{
			{Name: "standby", Type: plugins.Bool, Doc: "the server is in recovery (pg_is_in_recovery)"},
			{Name: "wal_bytes", Type: plugins.Int, Doc: "size of pg_wal; missing when we may not look", Optional: true},
			{Name: "slot_limit_bytes", Type: plugins.Int, Doc: "max_slot_wal_keep_size; -1 is no limit, missing before PostgreSQL 13", Optional: true},
			{Name: "retained_bytes", Type: plugins.Int, Doc: "WAL that the slot furthest behind holds back"},
			{Name: "retained_inactive_bytes", Type: plugins.Int, Doc: "the same, of slots that nobody reads"},
			{Name: "slots", Type: plugins.List, Doc: "those that hold back most first", Elem: []plugins.Field{
				{Name: "name", Type: plugins.String},
				{Name: "kind", Type: plugins.String, Doc: "physical or logical"},
				{Name: "database", Type: plugins.String, Doc: "of a logical one"},
				{Name: "active", Type: plugins.Bool, Doc: "somebody reads it"},
				{Name: "retained_bytes", Type: plugins.Int, Doc: "WAL from its restart_lsn on; 0 when it holds none back"},
				{Name: "wal_status", Type: plugins.String, Doc: "reserved, extended, unreserved, lost; empty before PostgreSQL 13"},
			}},
			{Name: "replicas", Type: plugins.List, Doc: "connections that stream WAL from here", Elem: []plugins.Field{
				{Name: "name", Type: plugins.String, Doc: "application_name"},
				{Name: "client", Type: plugins.String, Doc: "address, or local"},
				{Name: "state", Type: plugins.String, Doc: "streaming, catchup, backup, ..."},
				{Name: "sync_state", Type: plugins.String},
				{Name: "unsent_bytes", Type: plugins.Int, Doc: "not sent yet: the network, or this server", Optional: true},
				{Name: "unflushed_bytes", Type: plugins.Int, Doc: "sent and not on its disk yet: the network, or its disk", Optional: true},
				{Name: "unreplayed_bytes", Type: plugins.Int, Doc: "on its disk and not replayed yet: a conflict, or its processor", Optional: true},
				{Name: "replay_lag_seconds", Type: plugins.Int, Doc: "what it took lately until a change was visible there", Optional: true},
			}},
			{Name: "replay_delay_seconds", Type: plugins.Int, Doc: "of a standby that has something left to replay: since the last change it has replayed; 0 when it is up to date", Optional: true},
			{Name: "unreplayed_bytes", Type: plugins.Int, Doc: "of a standby: received and not replayed", Optional: true},
			{Name: "receiver", Type: plugins.String, Doc: "of a standby: state of its WAL receiver, empty when it has none", Optional: true},
			{Name: "replay_paused", Type: plugins.Bool, Doc: "of a standby: somebody has paused the replay", Optional: true},
		},
	}
}

// now is how far the WAL has come here.
const walNow = "CASE WHEN pg_catalog.pg_is_in_recovery() THEN coalesce(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn()) ELSE pg_catalog.pg_current_wal_lsn() END"

func replicationScript() []query {
	behind := func(from, to string) string { return "pg_catalog.pg_wal_lsn_diff(" + from + ", " + to + ")::bigint" }
	return []query{
		rightsQuery(),
		row("role", "", "pg_catalog.pg_is_in_recovery()",
			// Without a unit it is in megabytes, see pg_settings.
			"CASE WHEN current_setting('max_slot_wal_keep_size', true) IS NULL THEN '' ELSE (SELECT CASE WHEN setting = '-1' THEN '-1' ELSE (setting::bigint * 1048576)::text END FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size') END"),
		row("slots", "FROM pg_catalog.pg_replication_slots s ORDER BY 6 DESC LIMIT 200",
			text("s.slot_name", 64), "s.slot_type", text("s.database", 64), "s.active",
			"greatest(0, coalesce("+behind(walNow, "s.restart_lsn")+", 0))", "coalesce(to_jsonb(s)->>'wal_status', '')"),
		row("replicas", "FROM pg_catalog.pg_stat_replication ORDER BY 2 LIMIT 200",
			text("application_name", 64), "coalesce(host(client_addr), 'local')", "coalesce(state, '')", "coalesce(sync_state, '')",
			behind(walNow, "sent_lsn"), behind("sent_lsn", "flush_lsn"), behind("flush_lsn", "replay_lsn"),
			"extract(epoch FROM replay_lag)::bigint"),
		row("standby", "WHERE pg_catalog.pg_is_in_recovery()",
			"CASE WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0 ELSE "+seconds("pg_catalog.pg_last_xact_replay_timestamp()")+" END",
			behind("pg_catalog.pg_last_wal_receive_lsn()", "pg_catalog.pg_last_wal_replay_lsn()"),
			"coalesce((SELECT status FROM pg_catalog.pg_stat_wal_receiver), '')", "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_is_wal_replay_paused() END"),
		row("wal", "FROM pg_catalog.pg_ls_waldir()", "coalesce(sum(size), 0)").optional(),
	}
}

func parseReplication(a answer) (plugins.Value, error) {
	if a.full {
		return nil, errFull
	}
	if err := a.mustSeeAll(); err != nil {
		return nil, err
	}
	role, err := a.one("role")
	if err != nil {
		return nil, err
	}
	var r reader
	v := plugins.Value{"standby": r.truth(role[0])}
	r.optional(v, "slot_limit_bytes", role[1])
	if wal, err := a.one("wal"); err == nil && a.done["wal"] {
		v["wal_bytes"] = r.number(wal[0])
	}
	if s := a.rows["standby"]; len(s) == 1 {
		v["replay_delay_seconds"], v["receiver"], v["replay_paused"] = r.number(s[0][0]), s[0][2], r.truth(s[0][3])
		r.optional(v, "unreplayed_bytes", s[0][1])
	}
	slots, most, unread := []any{}, int64(0), int64(0)
	for _, row := range a.rows["slots"] {
		active, held := r.truth(row[3]), r.number(row[4])
		most = max(most, held)
		if !active {
			unread = max(unread, held)
		}
		slots = append(slots, map[string]any{
			"name": row[0], "kind": row[1], "database": row[2], "active": active, "retained_bytes": held, "wal_status": row[5],
		})
	}
	replicas := []any{}
	for _, row := range a.rows["replicas"] {
		one := map[string]any{"name": row[0], "client": row[1], "state": row[2], "sync_state": row[3]}
		for i, name := range []string{"unsent_bytes", "unflushed_bytes", "unreplayed_bytes", "replay_lag_seconds"} {
			r.optional(one, name, row[4+i])
		}
		replicas = append(replicas, one)
	}
	v["slots"], v["replicas"], v["retained_bytes"], v["retained_inactive_bytes"] = slots, replicas, most, unread
	return v, r.err
}

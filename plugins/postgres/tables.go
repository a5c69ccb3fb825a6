package postgres

import (
	"errors"

	"github.com/secondline-ops/secondline/plugins"
)

var errFull = errors.New("the server has no connection left, not even for us")

func tablesSpec() plugins.Spec {
	return plugins.Spec{
		Name: "tables", Title: "Dead rows and bloat of PostgreSQL's tables", CostSeconds: 0.5,
		Doc: "Of one database: tables with dead rows (pg_stat_user_tables), and what keeps vacuum from taking them away. Bloat is an estimate: size times the share of dead rows; space that vacuum has freed already is not in it.",
		Outputs: []plugins.Field{
			{Name: "oldest_snapshot_age", Type: plugins.Int, Doc: "transactions since the oldest one whose rows must be kept (xmin of sessions, slots, prepared transactions)"},
			{Name: "frozen_age", Type: plugins.Int, Doc: "age of the oldest unfrozen transaction of all databases; the server stops at 2 billion"},
			{Name: "frozen_age_limit", Type: plugins.Int, Doc: "autovacuum_freeze_max_age, from which autovacuum forces itself"},
			{Name: "autovacuum", Type: plugins.Bool, Doc: "autovacuum and track_counts are on"},
			{Name: "tables", Type: plugins.List, Doc: "those with most dead rows first, at most 50", Elem: []plugins.Field{
				{Name: "table", Type: plugins.String, Doc: "schema.table"},
				{Name: "live", Type: plugins.Int, Doc: "rows, estimated"},
				{Name: "dead", Type: plugins.Int, Doc: "rows, estimated"},
				{Name: "dead_percent", Type: plugins.Double, Doc: "of all rows"},
				{Name: "bytes", Type: plugins.Int, Doc: "of the table without its indexes"},
				{Name: "bloat_bytes", Type: plugins.Int, Doc: "estimate: bytes times the share of dead rows"},
				{Name: "vacuumed_seconds_ago", Type: plugins.Int, Doc: "by anybody; missing when it never was", Optional: true},
			}},
		},
	}
}

func tablesScript() []query {
	return []query{
		row("ages", "",
			"greatest(0, (SELECT coalesce(max(greatest(age(backend_xmin), age(backend_xid))), 0) FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid()), "+
				"(SELECT coalesce(max(greatest(age(xmin), age(catalog_xmin))), 0) FROM pg_catalog.pg_replication_slots), "+
				"(SELECT coalesce(max(age(transaction)), 0) FROM pg_catalog.pg_prepared_xacts))",
			"(SELECT max(age(datfrozenxid)) FROM pg_catalog.pg_database)", "current_setting('autovacuum_freeze_max_age')",
			"current_setting('autovacuum')::bool AND current_setting('track_counts')::bool"),
		row("tables", "FROM pg_catalog.pg_stat_user_tables ORDER BY 4 DESC, 2 LIMIT 50",
			text("schemaname || '.' || relname", 130), "n_live_tup", "n_dead_tup", "coalesce(pg_catalog.pg_table_size(relid), 0)",
			"extract(epoch FROM clock_timestamp() - greatest(last_vacuum, last_autovacuum))::bigint"),
	}
}

func parseTables(a answer) (plugins.Value, error) {
	if a.full {
		return nil, errFull
	}
	ages, err := a.one("ages")
	if err != nil {
		return nil, err
	}
	var r reader
	tables := []any{}
	for _, row := range a.rows["tables"] {
		live, dead, size := r.number(row[1]), r.number(row[2]), r.number(row[3])
		share := float64(dead) / float64(max(1, live+dead))
		one := map[string]any{
			"table": row[0], "live": live, "dead": dead, "dead_percent": 100 * share, "bytes": size, "bloat_bytes": int64(share * float64(size)),
		}
		r.optional(one, "vacuumed_seconds_ago", row[4])
		tables = append(tables, one)
	}
	return plugins.Value{
		"oldest_snapshot_age": r.number(ages[0]), "frozen_age": r.number(ages[1]), "frozen_age_limit": r.number(ages[2]),
		"autovacuum": r.truth(ages[3]), "tables": tables,
	}, r.err
}

package postgres

import (
	"cmp"
	"maps"
	"slices"

	"github.com/secondline-ops/secondline/plugins"
)

func connectionsSpec() plugins.Spec {
	return plugins.Spec{
		Name: "connections", Title: "Connections of PostgreSQL", CostSeconds: 0.2,
		Doc: "Client connections by application, state and user against max_connections, from pg_stat_activity (PostgreSQL documentation 28.2.3).",
		Outputs: []plugins.Field{
			{Name: "refused", Type: plugins.Bool, Doc: "the server refused us because it has no connection left; the numbers are then missing"},
			{Name: "used_percent", Type: plugins.Double, Doc: "of the connections that are not reserved for superusers; 100 when refused"},
			{Name: "used", Type: plugins.Int, Doc: "client connections without our own", Optional: true},
			{Name: "max_connections", Type: plugins.Int, Doc: "the setting", Optional: true},
			{Name: "reserved", Type: plugins.Int, Doc: "superuser_reserved_connections and reserved_connections", Optional: true},
			{Name: "active", Type: plugins.Int, Doc: "connections with a query under way", Optional: true},
			{Name: "idle", Type: plugins.Int, Doc: "connections that do nothing, outside of a transaction", Optional: true},
			{Name: "idle_in_transaction", Type: plugins.Int, Doc: "connections that do nothing inside a transaction", Optional: true},
			{Name: "waiting_for_locks", Type: plugins.Int, Doc: "connections that wait for a lock of another (wait_event_type Lock)", Optional: true},
			{Name: "server_version", Type: plugins.Int, Doc: "server_version_num, 150020 is 15.20", Optional: true},
			{Name: "applications", Type: plugins.List, Doc: "by application_name, those with most idle connections first", Elem: []plugins.Field{
				{Name: "application", Type: plugins.String, Doc: "application_name; may be empty"},
				{Name: "connections", Type: plugins.Int, Doc: "all of it"},
				{Name: "active", Type: plugins.Int, Doc: "with a query under way"},
				{Name: "idle", Type: plugins.Int, Doc: "idle outside of a transaction"},
				{Name: "idle_long", Type: plugins.Int, Doc: "of those, idle for more than a minute"},
				{Name: "idle_in_transaction", Type: plugins.Int, Doc: "idle inside a transaction"},
			}},
			{Name: "groups", Type: plugins.List, Doc: "by application, user, database, client and state, largest first, at most 200", Elem: []plugins.Field{
				{Name: "application", Type: plugins.String},
				{Name: "user", Type: plugins.String},
				{Name: "database", Type: plugins.String},
				{Name: "client", Type: plugins.String, Doc: "address, or local"},
				{Name: "state", Type: plugins.String, Doc: "active, idle, idle in transaction, ..."},
				{Name: "connections", Type: plugins.Int},
				{Name: "longest_seconds", Type: plugins.Int, Doc: "the longest in this state"},
			}},
		},
	}
}

// others are the sessions that count against max_connections, without ours.
const others = "FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()"

func connectionsScript() []query {
	setting := func(name string) string { return "coalesce(current_setting('" + name + "', true), '0')" }
	return []query{
		rightsQuery(),
		row("limits", "", setting("max_connections"), setting("superuser_reserved_connections"), setting("reserved_connections"), setting("server_version_num")),
		row("totals", others, "count(*)", "count(*) FILTER (WHERE wait_event_type = 'Lock')"),
		row("states", others+" GROUP BY 2, 3 ORDER BY 4 DESC LIMIT 1000",
			text("application_name", 64), "coalesce(state, 'unknown')", "count(*)", "count(*) FILTER (WHERE clock_timestamp() - state_change > interval '1 minute')"),
		row("groups", others+" GROUP BY 2, 3, 4, 5, 6 ORDER BY 7 DESC LIMIT 200",
			text("application_name", 64), text("usename", 64), text("datname", 64), "coalesce(host(client_addr), 'local')",
			"coalesce(state, 'unknown')", "count(*)", "max("+seconds("state_change")+")"),
	}
}

// application is what one application holds.
type application struct{ connections, active, idle, idleLong, inTransaction int64 }

func parseConnections(a answer) (plugins.Value, error) {
	if a.full {
		return plugins.Value{"refused": true, "used_percent": 100.0, "applications": []any{}, "groups": []any{}}, nil
	}
	if err := a.mustSeeAll(); err != nil {
		return nil, err
	}
	limits, err := a.one("limits")
	if err != nil {
		return nil, err
	}
	totals, err := a.one("totals")
	if err != nil {
		return nil, err
	}
	var r reader
	most, reserved, used := r.number(limits[0]), r.number(limits[1])+r.number(limits[2]), r.number(totals[0])
	by := map[string]application{}
	for _, row := range a.rows["states"] {
		by[row[0]] = by[row[0]].add(row[1], r.number(row[2]), r.number(row[3]))
	}
	var all application
	for _, one := range by {
		all.active, all.idle, all.inTransaction = all.active+one.active, all.idle+one.idle, all.inTransaction+one.inTransaction
	}
	groups := []any{}
	for _, row := range a.rows["groups"] {
		groups = append(groups, map[string]any{
			"application": row[0], "user": row[1], "database": row[2], "client": row[3], "state": row[4],
			"connections": r.number(row[5]), "longest_seconds": r.number(row[6]),
		})
	}
	return plugins.Value{
		"refused": false, "used": used, "max_connections": most, "reserved": reserved,
		"used_percent": 100 * float64(used) / float64(max(1, most-reserved)),
		"active":       all.active, "idle": all.idle, "idle_in_transaction": all.inTransaction,
		"waiting_for_locks": r.number(totals[1]), "server_version": r.number(limits[3]),
		"applications": applicationList(by), "groups": groups,
	}, r.err
}

// add counts connections in a state, see pg_stat_activity.state.
func (a application) add(state string, n, long int64) application {
	a.connections += n
	switch state {
	case "active", "fastpath function call":
		a.active += n
	case "idle":
		a.idle, a.idleLong = a.idle+n, a.idleLong+long
	case "idle in transaction", "idle in transaction (aborted)":
		a.inTransaction += n
	}
	return a
}

func applicationList(by map[string]application) []any {
	names := slices.SortedFunc(maps.Keys(by), func(x, y string) int {
		return cmp.Or(-cmp.Compare(by[x].idle, by[y].idle), -cmp.Compare(by[x].connections, by[y].connections), cmp.Compare(x, y))
	})
	list := []any{}
	for _, name := range names[:min(len(names), maxRows)] {
		one := by[name]
		list = append(list, map[string]any{
			"application": name, "connections": one.connections, "active": one.active, "idle": one.idle,
			"idle_long": one.idleLong, "idle_in_transaction": one.inTransaction,
		})
	}
	return list
}

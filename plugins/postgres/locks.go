package postgres

import (
	"cmp"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/plugins"
)

func locksSpec() plugins.Spec {
	session := []plugins.Field{
		{Name: "pid", Type: plugins.String, Doc: "of the backend; 0 is a prepared transaction, which has none"},
		{Name: "application", Type: plugins.String},
		{Name: "user", Type: plugins.String},
		{Name: "database", Type: plugins.String},
		{Name: "state", Type: plugins.String, Doc: "active, idle in transaction, ..."},
		{Name: "state_seconds", Type: plugins.Int, Doc: "for so long in that state"},
		{Name: "transaction_seconds", Type: plugins.Int, Doc: "age of its transaction"},
		{Name: "query", Type: plugins.String, Doc: "the last it was asked, at most 200 characters"},
	}
	return plugins.Spec{
		Name: "locks", Title: "Lock waits of PostgreSQL", CostSeconds: 0.2,
		Doc: "Who waits for a lock of whom, by pg_blocking_pids (PostgreSQL documentation 9.26), followed to those who wait for nobody.",
		Outputs: []plugins.Field{
			{Name: "waiting", Type: plugins.Int, Doc: "sessions that wait for another"},
			{Name: "longest_wait_seconds", Type: plugins.Int, Doc: "of them; before PostgreSQL 14 since its statement began, which may be earlier"},
			{Name: "prepared_transactions", Type: plugins.Int, Doc: "of two-phase commit, which hold locks without a session"},
			{Name: "deadlocks", Type: plugins.Int, Doc: "of all databases since their statistics were reset"},
			{Name: "blockers", Type: plugins.List, Doc: "sessions that block and wait for nobody, those with most waiters first", Elem: append(slices.Clone(session),
				plugins.Field{Name: "blocks", Type: plugins.Int, Doc: "sessions that wait for it, also through others"},
				plugins.Field{Name: "autovacuum", Type: plugins.Bool, Doc: "it is a vacuum of the server itself"})},
			{Name: "waits", Type: plugins.List, Doc: "longest first, at most 200", Elem: append(slices.Clone(session),
				plugins.Field{Name: "wait_seconds", Type: plugins.Int, Doc: "how long it waits"},
				plugins.Field{Name: "blocked_by", Type: plugins.List, Doc: "pids"})},
		},
	}
}

// sessionColumns are those of session above, of pg_stat_activity a.
func sessionColumns() []string {
	return []string{
		"a.pid", text("a.application_name", 64), text("a.usename", 64), text("a.datname", 64), "coalesce(a.state, a.backend_type, 'unknown')",
		seconds("a.state_change"), seconds("a.xact_start"),
	}
}

func locksScript() []query {
	// to_jsonb, because the column waitstart came with PostgreSQL 14.
	const waitStart = "coalesce((SELECT min((to_jsonb(l)->>'waitstart')::timestamptz) FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND NOT l.granted), a.query_start)"
	const waiting = "SELECT pid, pg_catalog.pg_blocking_pids(pid) AS by FROM pg_catalog.pg_stat_activity WHERE wait_event_type = 'Lock'"
	return []query{
		rightsQuery(),
		row("counts", "", "(SELECT count(*) FROM pg_catalog.pg_prepared_xacts)", "(SELECT coalesce(sum(deadlocks), 0) FROM pg_catalog.pg_stat_database)"),
		row("waits", "FROM ("+waiting+") w JOIN pg_catalog.pg_stat_activity a ON a.pid = w.pid WHERE cardinality(w.by) > 0 ORDER BY 9 DESC LIMIT 200",
			append(sessionColumns(), seconds(waitStart), "array_to_string(w.by, ',')", text("a.query", maxQueryText))...),
		row("blockers", "FROM (SELECT DISTINCT unnest(w.by) AS pid FROM ("+waiting+") w) b JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid LIMIT 200",
			append(sessionColumns(), "a.backend_type = 'autovacuum worker'", text("a.query", maxQueryText))...),
	}
}

func parseLocks(a answer) (plugins.Value, error) {
	if a.full {
		return nil, errFull
	}
	if err := a.mustSeeAll(); err != nil {
		return nil, err
	}
	counts, err := a.one("counts")
	if err != nil {
		return nil, err
	}
	var r reader
	waits, longest := []any{}, int64(0)
	by := map[string][]string{} // who waits for whom
	for _, row := range a.rows["waits"] {
		w := r.session(row)
		waited := r.number(row[7])
		blockedBy := slices.DeleteFunc(strings.Split(row[8], ","), func(pid string) bool { return pid == "" })
		w["wait_seconds"], w["blocked_by"], w["query"] = waited, blockedBy, row[9]
		by[row[0]] = blockedBy
		longest = max(longest, waited)
		waits = append(waits, w)
	}
	return plugins.Value{
		"waiting": len(waits), "longest_wait_seconds": longest, "prepared_transactions": r.number(counts[0]), "deadlocks": r.number(counts[1]),
		"blockers": blockers(&r, a.rows["blockers"], by), "waits": waits,
	}, r.err
}

func (r *reader) session(row []string) map[string]any {
	return map[string]any{
		"pid": row[0], "application": row[1], "user": row[2], "database": row[3], "state": row[4],
		"state_seconds": r.number(row[5]), "transaction_seconds": r.number(row[6]),
	}
}

// blockers are those who block and wait for nobody themselves.
func blockers(r *reader, rows [][]string, by map[string][]string) []any {
	blocks := map[string]int{}
	for waiter := range by {
		for _, root := range roots(waiter, by) {
			blocks[root]++
		}
	}
	found := []map[string]any{}
	for _, row := range rows {
		if len(by[row[0]]) > 0 || blocks[row[0]] == 0 {
			continue
		}
		b := r.session(row)
		b["autovacuum"], b["query"], b["blocks"] = r.truth(row[7]), row[8], blocks[row[0]]
		found = append(found, b)
	}
	if n := blocks["0"]; n > 0 { // it has no session, see pg_blocking_pids
		found = append(found, map[string]any{
			"pid": "0", "application": "", "user": "", "database": "", "state": "prepared transaction", "state_seconds": 0,
			"transaction_seconds": 0, "autovacuum": false, "query": "", "blocks": n,
		})
	}
	slices.SortStableFunc(found, func(x, y map[string]any) int { return -cmp.Compare(x["blocks"].(int), y["blocks"].(int)) })
	list := []any{}
	for _, b := range found {
		list = append(list, b)
	}
	return list
}

// roots are those whom a waiter waits for in the end. A circle, which the
// server has not found yet, has none.
func roots(waiter string, by map[string][]string) []string {
	var found []string
	seen := map[string]bool{waiter: true}
	open := []string{waiter}
	for len(open) > 0 {
		pid := open[0]
		open = open[1:]
		for _, next := range by[pid] {
			if seen[next] {
				continue
			}
			seen[next] = true
			if len(by[next]) == 0 {
				found = append(found, next)
			} else {
				open = append(open, next)
			}
		}
	}
	return found
}

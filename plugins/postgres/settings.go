package postgres

import (
	"github.com/secondline-ops/secondline/plugins"
)

func settingsSpec() plugins.Spec {
	return plugins.Spec{
		Name: "settings", Title: "Settings of PostgreSQL that do not take effect", CostSeconds: 0.2,
		Doc: "Settings that wait for a restart, files that changed since they were read, and lines that are refused (pg_settings, pg_file_settings, pg_hba_file_rules). Values of connection strings and commands are not shown.",
		Outputs: []plugins.Field{
			{Name: "pending_restart", Type: plugins.List, Doc: "settings whose value in the files waits for a restart", Elem: []plugins.Field{
				{Name: "setting", Type: plugins.String},
				{Name: "running", Type: plugins.String, Doc: "the value in force"},
				{Name: "in_file", Type: plugins.String, Doc: "the value after a restart; empty when no file has one"},
				{Name: "file", Type: plugins.String},
				{Name: "line", Type: plugins.Int, Doc: "0 when no file has one"},
			}},
			{Name: "changed_files", Type: plugins.List, Doc: "files that were changed after they were read last: a reload is missing", Elem: []plugins.Field{
				{Name: "file", Type: plugins.String},
				{Name: "changed_seconds_ago", Type: plugins.Int},
			}},
			{Name: "refused", Type: plugins.List, Doc: "lines of the files that the server refuses", Elem: []plugins.Field{
				{Name: "file", Type: plugins.String},
				{Name: "line", Type: plugins.Int},
				{Name: "setting", Type: plugins.String, Doc: "empty for a line of pg_hba.conf"},
				{Name: "error", Type: plugins.String},
			}},
			{Name: "loaded_seconds_ago", Type: plugins.Int, Doc: "since the files were read (pg_conf_load_time)"},
			{Name: "started_seconds_ago", Type: plugins.Int, Doc: "since the server started"},
		},
	}
}

// needsRestart is the error of pg_file_settings for a line that is right, but
// for which the server has to be started again.
const needsRestart = "'setting could not be applied'"

func settingsScript() []query {
	// What may hold a secret, or be one, stays there.
	value := func(column string) string {
		return "CASE WHEN s.name ~ 'conninfo|command|passphrase|secret|password' THEN '(not shown)' ELSE " + text(column, maxQueryText) + " END"
	}
	// Of several lines the last one counts, which has the highest seqno.
	const inFile = "LEFT JOIN LATERAL (SELECT * FROM pg_catalog.pg_file_settings g WHERE lower(g.name) = lower(s.name) ORDER BY seqno DESC LIMIT 1) f ON true"
	const files = "(SELECT DISTINCT sourcefile AS file FROM pg_catalog.pg_file_settings UNION SELECT current_setting('hba_file') UNION SELECT current_setting('config_file')) c"
	return []query{
		row("ages", "", seconds("pg_catalog.pg_conf_load_time()"), seconds("pg_catalog.pg_postmaster_start_time()")),
		row("pending", "FROM pg_catalog.pg_settings s "+inFile+" WHERE s.pending_restart ORDER BY s.name LIMIT 200",
			text("s.name", 64), value("current_setting(s.name)"), value("f.setting"), text("f.sourcefile", 500), "coalesce(f.sourceline, 0)"),
		row("changed", "FROM "+files+", LATERAL pg_catalog.pg_stat_file(c.file, true) m WHERE m.modification > pg_catalog.pg_conf_load_time() LIMIT 50",
			text("c.file", 500), seconds("m.modification")),
		row("refused", "FROM pg_catalog.pg_file_settings WHERE error IS NOT NULL AND error <> "+needsRestart+" ORDER BY seqno LIMIT 50",
			text("sourcefile", 500), "coalesce(sourceline, 0)", text("name", 64), text("error", maxQueryText)),
		row("hba", "FROM pg_catalog.pg_hba_file_rules WHERE error IS NOT NULL LIMIT 50",
			text("current_setting('hba_file')", 500), "coalesce(line_number, 0)", text("error", maxQueryText)),
	}
}

func parseSettings(a answer) (plugins.Value, error) {
	if a.full {
		return nil, errFull
	}
	ages, err := a.one("ages")
	if err != nil {
		return nil, err
	}
	var r reader
	pending, changed, refused := []any{}, []any{}, []any{}
	for _, row := range a.rows["pending"] {
		pending = append(pending, map[string]any{"setting": row[0], "running": row[1], "in_file": row[2], "file": row[3], "line": r.number(row[4])})
	}
	for _, row := range a.rows["changed"] {
		changed = append(changed, map[string]any{"file": row[0], "changed_seconds_ago": r.number(row[1])})
	}
	for _, row := range a.rows["refused"] {
		refused = append(refused, map[string]any{"file": row[0], "line": r.number(row[1]), "setting": row[2], "error": row[3]})
	}
	for _, row := range a.rows["hba"] {
		refused = append(refused, map[string]any{"file": row[0], "line": r.number(row[1]), "setting": "", "error": row[2]})
	}
	return plugins.Value{
		"pending_restart": pending, "changed_files": changed, "refused": refused,
		"loaded_seconds_ago": r.number(ages[0]), "started_seconds_ago": r.number(ages[1]),
	}, r.err
}

package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/runbooks"
)

// maxRuns bounds a list of runs: a row of it has some 200 bytes.
const maxRuns = 20_000

// putRuns writes the columns that runs are found by. An incident never loses a
// run, so one without any has nothing to write.
func (t *tx) putRuns(ctx context.Context, in *incident.Incident) error {
	rows := make([][]any, 0, len(in.Runs))
	for i := range in.Runs {
		r := &in.Runs[i]
		dry := 0
		if r.DryRun {
			dry = 1
		}
		rows = append(rows, []any{
			escape(in.ID), escape(r.ID), in.Number, indexed(r.Runbook), escape(r.Runbook), escape(r.Target), escape(string(r.Status)),
			escape(r.RequestedBy), dry, micros(movedAt(in, r)), micros(r.StartedAt), micros(r.EndedAt),
		})
	}
	return t.insert(ctx, `INSERT INTO runs (incident_id, id, number, runbook_key, runbook, target, status, requested_by, dry_run, at, started_at, ended_at) VALUES `,
		rows, ` ON CONFLICT (incident_id, id) DO UPDATE SET status = excluded.status, at = excluded.at, started_at = excluded.started_at, ended_at = excluded.ended_at`)
}

// movedAt is the last time that the run itself tells of.
func movedAt(in *incident.Incident, r *incident.Run) time.Time {
	for _, at := range []time.Time{r.EndedAt, r.StartedAt, r.AskedAt} {
		if !at.IsZero() {
			return at
		}
	}
	return in.UpdatedAt
}

// ListRuns implements store.Runs.
func (s *Store) ListRuns(ctx context.Context, f store.RunFilter) (list []store.RunRow, more bool, err error) {
	var q filter
	if f.Runbook != "" {
		q.add("runbook_key = " + q.arg(indexed(f.Runbook)))
	}
	if !f.Since.IsZero() {
		q.add("at >= " + q.arg(micros(f.Since)))
	}
	if len(f.IDs) > 0 {
		marks := make([]string, 0, len(f.IDs))
		for _, id := range f.IDs {
			marks = append(marks, q.arg(escape(id)))
		}
		q.add("id IN (" + strings.Join(marks, ", ") + ")")
	}
	limit := bounded(cmp.Or(f.Limit, maxRuns), maxRuns, maxRuns)
	list = []store.RunRow{}
	err = s.reader().rows(ctx, `SELECT id, incident_id, number, runbook, target, status, requested_by, dry_run, at, started_at, ended_at FROM runs`+
		q.where()+` ORDER BY at DESC, number DESC, id DESC LIMIT `+q.arg(limit+1), q.args, func(rows *sql.Rows) error {
		var r store.RunRow
		var dry, at, started, ended int64
		var status string
		err := rows.Scan(&r.ID, &r.Incident, &r.Number, &r.Runbook, &r.Target, &status, &r.RequestedBy, &dry, &at, &started, &ended)
		for _, text := range []*string{&r.ID, &r.Incident, &r.Runbook, &r.Target, &r.RequestedBy} {
			*text = unescape(*text)
		}
		r.Status, r.DryRun = runbooks.RunStatus(unescape(status)), dry != 0
		r.At, r.StartedAt, r.EndedAt = fromMicros(at), fromMicros(started), fromMicros(ended)
		list = append(list, r)
		return err
	})
	if err != nil {
		return nil, false, s.cfg.Dialect.explain(err, "list runs")
	}
	if len(list) > limit {
		return list[:limit], true, nil
	}
	return list, false, nil
}

// runsMigration makes the table of runs and enters those of the incidents that
// are there. It is in Go because only Go reads the documents of both engines.
func runsMigration(d Dialect) *goose.Migration {
	return goose.NewGoMigration(2, &goose.GoFunc{RunTx: func(ctx context.Context, sqlTx *sql.Tx) error {
		w := &work{dialect: d, q: sqlTx}
		for _, statement := range []string{
			`CREATE TABLE runs (
				incident_id  text   NOT NULL REFERENCES incidents (id),
				id           text   NOT NULL,
				number       bigint NOT NULL,
				runbook_key  text   NOT NULL,
				runbook      text   NOT NULL,
				target       text   NOT NULL,
				status       text   NOT NULL,
				requested_by text   NOT NULL,
				dry_run      bigint NOT NULL,
				at           bigint NOT NULL,
				started_at   bigint NOT NULL,
				ended_at     bigint NOT NULL,
				PRIMARY KEY (incident_id, id)
			)`,
			`CREATE INDEX runs_runbook ON runs (runbook_key, at)`,
			`CREATE INDEX runs_at ON runs (at)`,
			`CREATE INDEX runs_id ON runs (id)`,
		} {
			if _, err := w.exec(ctx, statement); err != nil {
				return err
			}
		}
		ids, err := w.texts(ctx, `SELECT DISTINCT incident_id FROM incident_keys WHERE kind = 'run' ORDER BY incident_id`)
		if err != nil {
			return err
		}
		for _, id := range ids { // one at a time: each may have megabytes
			in, err := loadIncident(ctx, w, `id = $1`, id)
			if err != nil {
				return fmt.Errorf("read incident %s: %w", id, err)
			}
			if err := (&tx{w}).putRuns(ctx, in); err != nil {
				return err
			}
		}
		return nil
	}}, nil)
}

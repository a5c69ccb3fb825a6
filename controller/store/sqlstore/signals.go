package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// SaveSignals implements store.Tx. A signal that is saved again replaces what
// was known of it.
func (t *tx) SaveSignals(ctx context.Context, signals []incident.Signal) error {
	at := make(map[string]int, len(signals)) // one statement must not touch a row twice: the last one counts
	rows := make([][]any, 0, len(signals))
	for _, s := range signals {
		if err := checkKeys("id", s.ID); err != nil {
			return err
		}
		doc, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("encode signal %s: %w", s.ID, err)
		}
		row := []any{escape(s.ID), indexed(s.IncidentID), indexed(s.Source), micros(s.ReceivedAt), doc}
		if i, again := at[s.ID]; again {
			rows[i] = row
			continue
		}
		at[s.ID] = len(rows)
		rows = append(rows, row)
	}
	return t.insert(ctx, `INSERT INTO signals (id, incident_id, source, received_at, doc) VALUES `, rows,
		` ON CONFLICT (id) DO UPDATE SET incident_id = excluded.incident_id, source = excluded.source,
			received_at = excluded.received_at, doc = excluded.doc`)
}

// FindSignal implements store.Incidents.
func (s *Store) FindSignal(ctx context.Context, id string) (incident.Signal, error) {
	return findDoc[incident.Signal](ctx, s, "signal", `SELECT doc FROM signals WHERE id = $1`, id)
}

// findDoc reads the one document under a key, or says that there is none.
func findDoc[T any](ctx context.Context, s *Store, what, query, key string) (T, error) {
	v, err := scanDoc[T](func(into ...any) error { return s.reader().row(ctx, query, []any{escape(key)}, into...) })
	if errors.Is(err, sql.ErrNoRows) {
		return v, fault.New(fault.NotFound, "there is no %s %q", what, key)
	}
	return v, s.cfg.Dialect.explain(err, "find a "+what)
}

// listDocs reads all documents of a query.
func listDocs[T any](ctx context.Context, s *Store, doing, query string, args ...any) ([]T, error) {
	out := []T{}
	err := s.reader().rows(ctx, query, args, func(r *sql.Rows) error {
		v, err := scanDoc[T](r.Scan)
		out = append(out, v)
		return err
	})
	return out, s.cfg.Dialect.explain(err, doing)
}

// ListSignals implements store.Incidents: newest first.
func (s *Store) ListSignals(ctx context.Context, f store.SignalFilter) ([]incident.Signal, string, error) {
	var q filter
	if f.Incident != "" {
		q.add("incident_id = " + q.arg(indexed(f.Incident)))
	}
	if f.Source != "" {
		q.add("source = " + q.arg(indexed(f.Source)))
	}
	if f.Cursor != "" {
		c, err := parseCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		q.add("(received_at, id) < (" + q.arg(c.At) + ", " + q.arg(escape(c.ID)) + ")")
	}
	limit := bounded(f.Limit, 50, maxList)
	list, err := listDocs[incident.Signal](ctx, s, "list signals", `SELECT doc FROM signals`+q.where()+
		` ORDER BY received_at DESC, id DESC LIMIT `+q.arg(limit+1), q.args...)
	if err != nil || len(list) <= limit {
		return list, "", err
	}
	last := list[limit-1]
	return list[:limit], cursor{At: micros(last.ReceivedAt), ID: last.ID}.String(), nil
}

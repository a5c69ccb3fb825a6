package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of lists.
const (
	maxList       = 500
	maxEvents     = 5000
	maxCandidates = 2000
	maxQueryBytes = 1000 // SQLite refuses LIKE patterns above 50,000 bytes
)

// FindIncident implements store.Incidents.
func (s *Store) FindIncident(ctx context.Context, ref string) (*incident.Incident, error) {
	in, err := findIncident(ctx, s.reader(), ref)
	return in, s.cfg.Dialect.explain(err, "find an incident")
}

func findIncident(ctx context.Context, w *work, ref string) (*incident.Incident, error) {
	// 18 digits fit an int64; a longer run of digits can only be an id.
	if number, err := strconv.ParseInt(ref, 10, 64); err == nil && len(ref) <= 18 && number > 0 {
		in, err := loadIncident(ctx, w, `number = $1`, number)
		if !errors.Is(err, sql.ErrNoRows) {
			return in, err
		}
	}
	in, err := loadIncident(ctx, w, `id = $1`, escape(ref))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "there is no incident %q", ref)
	}
	return in, err
}

// FindIncidentByRun implements store.Incidents.
func (s *Store) FindIncidentByRun(ctx context.Context, runID string) (*incident.Incident, error) {
	in, err := loadIncident(ctx, s.reader(), `number = (SELECT max(i.number) FROM incidents i
		JOIN incident_keys k ON k.incident_id = i.id WHERE k.kind = 'run' AND k.key = $1)`, indexed(runID))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "there is no run %q", runID)
	}
	return in, s.cfg.Dialect.explain(err, "find the incident of a run")
}

func loadIncident(ctx context.Context, w *work, where string, arg any) (*incident.Incident, error) {
	var version int64
	var doc []byte
	if err := w.row(ctx, `SELECT version, doc FROM incidents WHERE `+where, []any{arg}, &version, &doc); err != nil {
		return nil, err
	}
	return decodeIncident(version, doc)
}

func decodeIncident(version int64, doc []byte) (*incident.Incident, error) {
	in := &incident.Incident{}
	if err := json.Unmarshal(doc, in); err != nil {
		return nil, fmt.Errorf("decode a stored incident: %w", err)
	}
	in.Version = version
	return in, nil
}

func listIncidents(ctx context.Context, w *work, query string, args []any) ([]*incident.Incident, error) {
	out := []*incident.Incident{}
	err := w.rows(ctx, query, args, func(r *sql.Rows) error {
		var version int64
		var doc []byte
		if err := r.Scan(&version, &doc); err != nil {
			return err
		}
		in, err := decodeIncident(version, doc)
		out = append(out, in)
		return err
	})
	return out, err
}

// filter collects conditions and their arguments.
type filter struct {
	conditions []string
	args       []any
}

// arg adds an argument and returns its placeholder.
func (f *filter) arg(v any) string {
	f.args = append(f.args, v)
	return "$" + strconv.Itoa(len(f.args))
}

func (f *filter) add(condition string) { f.conditions = append(f.conditions, condition) }

func (f *filter) where() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}

// ListIncidents implements store.Incidents: newest first, by number.
func (s *Store) ListIncidents(ctx context.Context, f store.IncidentFilter) ([]*incident.Incident, string, error) {
	var q filter
	if len(f.Status) > 0 {
		in := make([]string, len(f.Status))
		for i, st := range f.Status {
			in[i] = q.arg(escape(string(st)))
		}
		q.add("status IN (" + strings.Join(in, ",") + ")")
	}
	if f.Entity != "" {
		q.add("entity = " + q.arg(indexed(f.Entity)))
	}
	if f.Query != "" {
		if len(f.Query) > maxQueryBytes {
			return nil, "", fault.New(fault.Invalid, "the query is longer than %d bytes", maxQueryBytes).WithField("q")
		}
		pattern := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(searchable(f.Query))
		q.add("title_search LIKE " + q.arg("%"+pattern+"%") + ` ESCAPE '\'`)
	}
	if f.OmitDryRuns {
		q.add("NOT EXISTS (SELECT 1 FROM incident_keys k WHERE k.incident_id = incidents.id AND k.kind = " + q.arg(keyDryRuns) + ")")
	}
	if f.Cursor != "" {
		c, err := parseCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		q.add("number < " + q.arg(c.At))
	}
	limit := bounded(f.Limit, 50, maxList)
	list, err := listIncidents(ctx, s.reader(), `SELECT version, doc FROM incidents`+q.where()+
		` ORDER BY number DESC LIMIT `+q.arg(limit+1), q.args)
	if err != nil {
		return nil, "", s.cfg.Dialect.explain(err, "list incidents")
	}
	if len(list) <= limit {
		return list, "", nil
	}
	list = list[:limit]
	return list, cursor{At: list[limit-1].Number}.String(), nil
}

// ListEvents implements store.Incidents.
func (s *Store) ListEvents(ctx context.Context, incidentID string, afterSeq int64, limit int) ([]incident.Event, error) {
	out := []incident.Event{}
	err := s.reader().rows(ctx, `SELECT doc FROM events WHERE incident_id = $1 AND seq > $2 ORDER BY seq LIMIT $3`,
		[]any{escape(incidentID), afterSeq, bounded(limit, maxList, maxEvents)}, func(r *sql.Rows) error {
			e, err := scanDoc[incident.Event](r.Scan)
			out = append(out, e)
			return err
		})
	return out, s.cfg.Dialect.explain(err, "list events")
}

// scanDoc reads a row of one JSON document.
func scanDoc[T any](scan func(...any) error) (v T, err error) {
	var doc []byte
	if err := scan(&doc); err != nil {
		return v, err
	}
	if err := json.Unmarshal(doc, &v); err != nil {
		return v, fmt.Errorf("decode a stored %T: %w", v, err)
	}
	return v, nil
}

// ClaimIncidents implements store.Incidents. A lease holds against its own owner
// too, until it lapses or SaveIncident ends it: two workers of one controller
// must not get the same incident.
func (s *Store) ClaimIncidents(ctx context.Context, owner string, now, leaseUntil time.Time, limit int) ([]string, error) {
	type claimed struct {
		due int64
		id  string
	}
	var got []claimed
	err := s.write(ctx, "claim incidents", func(w *work) error {
		got = nil
		return w.rows(ctx, `WITH due AS MATERIALIZED (SELECT id FROM incidents
				WHERE due_at > 0 AND due_at <= $1 AND lease_until <= $1
				ORDER BY due_at, id LIMIT $4 `+s.cfg.Dialect.SkipLocked+`)
			UPDATE incidents SET lease_owner = $2, lease_until = $3 WHERE id IN (SELECT id FROM due)
			RETURNING id, due_at`,
			[]any{micros(now), escape(owner), micros(leaseUntil), bounded(limit, 1, maxList)}, func(r *sql.Rows) error {
				var c claimed
				err := r.Scan(&c.id, &c.due)
				got = append(got, c)
				return err
			})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(got, func(a, b claimed) int { // RETURNING keeps no order
		if a.due != b.due {
			return int(min(max(a.due-b.due, -1), 1))
		}
		return strings.Compare(a.id, b.id)
	})
	ids := make([]string, len(got))
	for i, c := range got {
		ids[i] = unescape(c.id)
	}
	return ids, nil
}

// CountIncidents implements store.Incidents.
func (s *Store) CountIncidents(ctx context.Context) (map[incident.Status]int, error) {
	out := map[incident.Status]int{}
	err := s.reader().rows(ctx, `SELECT status, count(*) FROM incidents GROUP BY status`, nil, func(r *sql.Rows) error {
		var status string
		var n int
		err := r.Scan(&status, &n)
		out[incident.Status(unescape(status))] = n
		return err
	})
	return out, s.cfg.Dialect.explain(err, "count incidents")
}

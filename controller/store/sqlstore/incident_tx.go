package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// tx implements store.Tx.
type tx struct{ *work }

var _ store.Tx = (*tx)(nil)

// rowsPerInsert keeps multi-row inserts far below the 32,766 parameters that
// SQLite takes.
const rowsPerInsert = 500

// FindIncident implements store.Tx.
func (t *tx) FindIncident(ctx context.Context, id string) (*incident.Incident, error) {
	return findIncident(ctx, t.work, id)
}

// SaveIncident implements store.Tx. When the transaction comes to nothing the
// incident gets back its version, its number and its pending events, so that
// it can be saved again.
func (t *tx) SaveIncident(ctx context.Context, in *incident.Incident) error {
	if err := checkKeys("id", in.ID); err != nil {
		return err
	}
	events, version, number := in.TakeEvents(), in.Version, in.Number
	t.undos = append(t.undos, func() {
		in.PutBackEvents(events)
		in.Version, in.Number = version, number
	})
	if err := t.putIncident(ctx, in); err != nil {
		return err
	}
	if err := t.putEvents(ctx, in.ID, events); err != nil {
		return err
	}
	if err := t.putRuns(ctx, in); err != nil {
		return err
	}
	return t.putKeys(ctx, in)
}

func (t *tx) putIncident(ctx context.Context, in *incident.Incident) error {
	if in.Number == 0 {
		number, err := t.nextNumber(ctx, "incident")
		if err != nil {
			return err
		}
		in.Number = number
	}
	loaded := in.Version
	in.Version++
	doc, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode incident %s: %w", in.ID, err)
	}
	args := []any{
		escape(in.ID), in.Number, escape(string(in.Status)), indexed(in.Entity), searchable(in.Title),
		micros(in.OpenedAt), micros(in.ResolvedAt), micros(endedAt(in)), micros(in.DueAt), in.Version, doc,
	}
	var n int64
	if loaded == 0 {
		n, err = t.exec(ctx, `INSERT INTO incidents (id, number, status, entity, title_search,
				opened_at, resolved_at, ended_at, due_at, version, doc, lease_owner, lease_until)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '', 0) ON CONFLICT DO NOTHING`, args...)
	} else {
		n, err = t.exec(ctx, `UPDATE incidents SET number = $2, status = $3, entity = $4, title_search = $5,
				opened_at = $6, resolved_at = $7, ended_at = $8, due_at = $9, version = $10, doc = $11,
				lease_owner = '', lease_until = 0
			WHERE id = $1 AND version = $12`, append(args, loaded)...)
	}
	if err == nil && n == 0 {
		return fault.New(fault.Conflict, "incident %s was changed by someone else since version %d was loaded", in.ID, loaded)
	}
	return err
}

// nextNumber counts up a named counter; a rolled back number is given again.
func (t *tx) nextNumber(ctx context.Context, name string) (n int64, err error) {
	err = t.row(ctx, `INSERT INTO counters (name, value) VALUES ($1, 1)
		ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`, []any{name}, &n)
	return n, err
}

func (t *tx) putEvents(ctx context.Context, id string, events []incident.Event) error {
	rows := make([][]any, 0, len(events))
	for _, e := range events {
		doc, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode event %d of incident %s: %w", e.Seq, id, err)
		}
		rows = append(rows, []any{escape(id), e.Seq, doc})
	}
	return t.insert(ctx, `INSERT INTO events (incident_id, seq, doc) VALUES `, rows, ``)
}

// insert writes rows of equal width with few statements.
func (t *tx) insert(ctx context.Context, head string, rows [][]any, tail string) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), rowsPerInsert)]
		rows = rows[len(part):]
		args := make([]any, 0, len(part)*len(part[0]))
		for _, r := range part {
			args = append(args, r...)
		}
		if _, err := t.exec(ctx, head+placeholders(len(part), len(part[0]))+tail, args...); err != nil {
			return err
		}
	}
	return nil
}

// incidentKey is something an incident is found under.
type incidentKey struct{ kind, key string }

const (
	keyIdentity = "identity"
	keyObject   = "object"
	keyRun      = "run"
	keyDryRuns  = "dry_runs" // of an incident with nothing else
)

// putKeys writes only what changed: an incident may have ten thousand symptoms,
// and is saved often.
func (t *tx) putKeys(ctx context.Context, in *incident.Incident) error {
	surplus := map[incidentKey]bool{}
	err := t.rows(ctx, `SELECT kind, key FROM incident_keys WHERE incident_id = $1`, []any{escape(in.ID)}, func(r *sql.Rows) error {
		var k incidentKey
		err := r.Scan(&k.kind, &k.key)
		surplus[k] = true
		return err
	})
	if err != nil {
		return err
	}
	var added [][]any
	seen := map[incidentKey]bool{}
	add := func(k incidentKey) {
		if !seen[k] && !surplus[k] {
			added = append(added, []any{escape(in.ID), k.kind, k.key})
		}
		seen[k] = true
		delete(surplus, k)
	}
	for _, s := range in.Symptoms {
		add(incidentKey{keyIdentity, indexed(s.Identity)})
	}
	for _, object := range in.Objects() {
		add(incidentKey{keyObject, indexed(object.Key())})
	}
	for _, r := range in.Runs {
		add(incidentKey{keyRun, indexed(r.ID)})
	}
	if in.OnlyDryRuns() {
		add(incidentKey{keyDryRuns, ""})
	}
	for k := range surplus {
		if _, err := t.exec(ctx, `DELETE FROM incident_keys WHERE incident_id = $1 AND kind = $2 AND key = $3`,
			escape(in.ID), k.kind, k.key); err != nil {
			return err
		}
	}
	return t.insert(ctx, `INSERT INTO incident_keys (incident_id, kind, key) VALUES `, added, ``)
}

// FindOpenIncidents implements store.Tx.
func (t *tx) FindOpenIncidents(ctx context.Context, identities []string, objects []incident.Object, resolvedSince time.Time) ([]*incident.Incident, error) {
	keys := map[string][]string{}
	for _, identity := range identities {
		keys[keyIdentity] = append(keys[keyIdentity], indexed(identity))
	}
	for _, object := range objects {
		keys[keyObject] = append(keys[keyObject], indexed(object.Key()))
	}
	if len(keys) == 0 {
		return []*incident.Incident{}, nil
	}
	var q filter
	in := func(values []string) string {
		marks := make([]string, len(values))
		for i, v := range values {
			marks[i] = q.arg(v)
		}
		return "(" + strings.Join(marks, ",") + ")"
	}
	var open []string
	for _, s := range incident.Statuses() {
		if s.Open() {
			open = append(open, string(s))
		}
	}
	q.add("(status IN " + in(open) + " OR (status = " + q.arg(string(incident.Resolved)) +
		" AND resolved_at >= " + q.arg(micros(resolvedSince)) + "))")
	var keyed []string
	for kind, same := range keys {
		keyed = append(keyed, "SELECT incident_id FROM incident_keys WHERE kind = "+q.arg(kind)+" AND key IN "+in(same))
	}
	q.add("id IN (" + strings.Join(keyed, " UNION ") + ")")
	return listIncidents(ctx, t.work, `SELECT version, doc FROM incidents`+q.where()+
		` ORDER BY opened_at DESC, number DESC LIMIT `+q.arg(maxCandidates), q.args)
}

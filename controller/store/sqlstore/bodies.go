package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of one answer of PendingBodies.
const (
	maxPendingBodies = 1000
	maxPendingBytes  = 32 << 20
)

const bodyColumns = `id, source, content_type, sha256, received_at, status, problem, data`

const selectBodies = `SELECT ` + bodyColumns + `, coalesce((SELECT taken FROM body_progress WHERE body_id = bodies.id), 0) FROM bodies`

// AppendBody implements store.Bodies.
func (s *Store) AppendBody(ctx context.Context, b store.Body) error {
	if err := checkKeys("id", b.ID, "sha256", b.SHA256); err != nil {
		return err
	}
	if b.Status == "" {
		b.Status = store.BodyPending
	}
	return s.cfg.Dialect.explain(s.lane.append(ctx, b), "store a body")
}

// insertBodies stores all in one statement, so that on PostgreSQL a commit costs
// one round trip. A body whose id exists gets its own Conflict.
func insertBodies(ctx context.Context, q querier, ops []*appendOp) error {
	if len(ops) == 0 {
		return nil
	}
	args := make([]any, 0, len(ops)*8)
	for _, op := range ops {
		b := &op.body
		args = append(args, escape(b.ID), escape(b.Source), escape(b.ContentType), escape(b.SHA256),
			micros(b.ReceivedAt), escape(string(b.Status)), escape(b.Problem), blob(b.Data))
	}
	stored := make(map[string]bool, len(ops))
	err := eachRow(ctx, q, `INSERT INTO bodies (`+bodyColumns+`) VALUES `+placeholders(len(ops), 8)+
		` ON CONFLICT (id) DO NOTHING RETURNING id`, args, func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		stored[unescape(id)] = true
		return err
	})
	if err != nil {
		return err
	}
	for _, op := range ops {
		if !stored[op.body.ID] {
			op.err = fault.New(fault.Conflict, "body %s exists already", op.body.ID)
		}
		delete(stored, op.body.ID) // of two with one id in a commit, the first was stored
	}
	return nil
}

func scanBody(scan func(...any) error) (b store.Body, err error) {
	var at int64
	err = scan(&b.ID, &b.Source, &b.ContentType, &b.SHA256, &at, &b.Status, &b.Problem, &b.Data, &b.Taken)
	b.ID, b.Source, b.ContentType, b.SHA256 = unescape(b.ID), unescape(b.Source), unescape(b.ContentType), unescape(b.SHA256)
	b.Problem, b.Status, b.ReceivedAt = unescape(b.Problem), store.BodyStatus(unescape(string(b.Status))), fromMicros(at)
	return b, err
}

// PendingBodies implements store.Bodies. It may return fewer than there are,
// so that the answer stays below 32 MiB or one body.
func (s *Store) PendingBodies(ctx context.Context, limit int) ([]store.Body, error) {
	out := []store.Body{}
	size := 0
	errEnough := errors.New("enough")
	err := s.reader().rows(ctx, selectBodies+` WHERE status = 'pending'
		ORDER BY received_at, id LIMIT $1`, []any{bounded(limit, 100, maxPendingBodies)}, func(r *sql.Rows) error {
		b, err := scanBody(r.Scan)
		if err != nil {
			return err
		}
		if size += len(b.Data); size > maxPendingBytes && len(out) > 0 {
			return errEnough
		}
		out = append(out, b)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, s.cfg.Dialect.explain(err, "list pending bodies")
}

// FindBody implements store.Bodies.
func (s *Store) FindBody(ctx context.Context, id string) (store.Body, error) {
	b, err := scanBody(func(into ...any) error {
		return s.reader().row(ctx, selectBodies+` WHERE id = $1`, []any{escape(id)}, into...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return store.Body{}, fault.New(fault.NotFound, "there is no body %q", id)
	}
	return b, s.cfg.Dialect.explain(err, "find a body")
}

// CountPendingBodies implements store.Bodies.
func (s *Store) CountPendingBodies(ctx context.Context) (n int, oldest time.Time, err error) {
	var at int64
	err = s.reader().row(ctx, `SELECT count(*), coalesce(min(received_at), 0) FROM bodies WHERE status = 'pending'`, nil, &n, &at)
	return n, fromMicros(at), s.cfg.Dialect.explain(err, "count pending bodies")
}

// AdvanceBody implements store.Tx.
func (t *tx) AdvanceBody(ctx context.Context, id string, from, to int) error {
	var status string
	err := t.row(ctx, `SELECT status FROM bodies WHERE id = $1`, []any{escape(id)}, &status)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, "there is no body %q", id)
	}
	if err != nil {
		return err
	}
	n := int64(0)
	if status == string(store.BodyPending) && from == 0 {
		n, err = t.exec(ctx, `INSERT INTO body_progress (body_id, taken) VALUES ($1, $2)
			ON CONFLICT (body_id) DO NOTHING`, escape(id), to)
	} else if status == string(store.BodyPending) {
		n, err = t.exec(ctx, `UPDATE body_progress SET taken = $3 WHERE body_id = $1 AND taken = $2`, escape(id), from, to)
	}
	if err == nil && n == 0 {
		return fault.New(fault.Conflict, "body %s is %s and not at signal %d: someone else went on with it", id, status, from)
	}
	return err
}

// SettleBody implements store.Tx.
func (t *tx) SettleBody(ctx context.Context, id string, status store.BodyStatus, problem string) error {
	if status != store.BodySettled && status != store.BodyUnmapped {
		return fault.New(fault.Invalid, "a body cannot be settled as %q", status).WithField("status")
	}
	n, err := t.exec(ctx, `UPDATE bodies SET status = $2, problem = $3 WHERE id = $1 AND status = 'pending'`,
		escape(id), string(status), escape(problem))
	if err == nil && n > 0 {
		_, err = t.exec(ctx, `DELETE FROM body_progress WHERE body_id = $1`, escape(id))
	}
	if err != nil || n > 0 {
		return err
	}
	var present string
	err = t.row(ctx, `SELECT status FROM bodies WHERE id = $1`, []any{escape(id)}, &present)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, "there is no body %q", id)
	}
	if err != nil {
		return err
	}
	return fault.New(fault.Conflict, "body %s was %s by someone else", id, present)
}

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

const jobColumns = `id, queue, kind, job_key, incident_id, payload, state, run_at, deadline, attempts,
	lease_owner, lease_until, fence, last_error, created_at, ended_at`

func scanJob(scan func(...any) error) (j store.Job, err error) {
	var runAt, deadline, leaseUntil, createdAt, endedAt int64
	err = scan(&j.ID, &j.Queue, &j.Kind, &j.Key, &j.Incident, &j.Payload, &j.State, &runAt, &deadline, &j.Attempts,
		&j.LeaseOwner, &leaseUntil, &j.Fence, &j.LastError, &createdAt, &endedAt)
	for _, s := range []*string{&j.ID, &j.Queue, &j.Kind, &j.Key, &j.Incident, &j.LeaseOwner, &j.LastError} {
		*s = unescape(*s)
	}
	j.RunAt, j.Deadline, j.LeaseUntil = fromMicros(runAt), fromMicros(deadline), fromMicros(leaseUntil)
	j.CreatedAt, j.EndedAt = fromMicros(createdAt), fromMicros(endedAt)
	return j, err
}

// Enqueue implements store.Tx. A job without a key is always added.
func (t *tx) Enqueue(ctx context.Context, j store.Job) (bool, error) {
	if err := checkKeys("id", j.ID, "queue", j.Queue, "key", j.Key, "incident", j.Incident, "lease_owner", j.LeaseOwner); err != nil {
		return false, err
	}
	if j.State == "" {
		j.State = store.JobQueued
	}
	n, err := t.exec(ctx, `INSERT INTO jobs (`+jobColumns+`) VALUES `+placeholders(1, 16)+` ON CONFLICT DO NOTHING`,
		escape(j.ID), escape(j.Queue), escape(j.Kind), escape(j.Key), escape(j.Incident), blob(j.Payload), escape(string(j.State)),
		micros(j.RunAt), micros(j.Deadline), j.Attempts, escape(j.LeaseOwner), micros(j.LeaseUntil), j.Fence,
		escape(j.LastError), micros(j.CreatedAt), micros(j.EndedAt))
	if err != nil || n == 1 {
		return n == 1, err
	}
	var first string
	err = t.row(ctx, `SELECT id FROM jobs WHERE job_key = $1 AND job_key <> ''`, []any{escape(j.Key)}, &first)
	if errors.Is(err, sql.ErrNoRows) {
		return false, fault.New(fault.Conflict, "job %s exists already with another key", j.ID)
	}
	return false, err
}

func ended(s store.JobState) bool {
	switch s {
	case store.JobDone, store.JobFailed, store.JobCancelled:
		return true
	case store.JobQueued, store.JobLeased, store.JobPaused:
		return false
	}
	return false
}

// FinishJob implements store.Tx.
func (t *tx) FinishJob(ctx context.Context, id string, fence int64, state store.JobState, result []byte, at time.Time) (bool, error) {
	if !ended(state) {
		return false, fault.New(fault.Invalid, "a job cannot end as %q", state).WithField("state")
	}
	n, err := t.exec(ctx, `UPDATE jobs SET state = $3, result = $4, ended_at = $5, lease_owner = '', lease_until = 0
		WHERE id = $1 AND fence <= $2 AND state IN ('queued', 'leased', 'paused')`,
		escape(id), fence, string(state), blob(result), micros(at))
	if err != nil || n == 1 {
		return n == 1, err
	}
	var present int64
	err = t.row(ctx, `SELECT fence FROM jobs WHERE id = $1`, []any{escape(id)}, &present)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, noJob(id)
	case err != nil:
		return false, err
	case fence < present:
		return false, fault.New(fault.Conflict, "job %s was leased again since: fence %d is below %d", id, fence, present)
	}
	return false, nil
}

// PauseJob implements store.Tx.
func (t *tx) PauseJob(ctx context.Context, id string) error {
	return t.turnJob(ctx, id, "paused or over", `UPDATE jobs SET state = 'paused', lease_owner = '', lease_until = 0
		WHERE id = $1 AND state IN ('queued', 'leased')`)
}

// ResumeJob implements store.Tx.
func (t *tx) ResumeJob(ctx context.Context, id string, at time.Time) error {
	return t.turnJob(ctx, id, "not paused", `UPDATE jobs SET state = 'queued', run_at = $2 WHERE id = $1 AND state = 'paused'`, micros(at))
}

func (t *tx) turnJob(ctx context.Context, id, otherwise, query string, args ...any) error {
	n, err := t.exec(ctx, query, append([]any{escape(id)}, args...)...)
	if err == nil && n == 0 {
		return fault.New(fault.Conflict, "job %s is %s", id, otherwise)
	}
	return err
}

func noJob(id string) error { return fault.New(fault.NotFound, "there is no job %q", id) }

// ClaimJobs implements store.Jobs.
func (s *Store) ClaimJobs(ctx context.Context, queue, owner string, now, leaseUntil time.Time, limit int) ([]store.Job, error) {
	if err := checkKeys("owner", owner); err != nil {
		return nil, err
	}
	var got []store.Job
	err := s.write(ctx, "claim jobs", func(w *work) error {
		got = []store.Job{}
		return w.rows(ctx, `WITH due AS MATERIALIZED (SELECT id FROM jobs
				WHERE queue = $1 AND state IN ('queued', 'leased') AND run_at <= $3 AND (state = 'queued' OR lease_until <= $3)
				ORDER BY run_at, id LIMIT $5 `+s.cfg.Dialect.SkipLocked+`)
			UPDATE jobs SET state = 'leased', lease_owner = $2, lease_until = $4, fence = fence + 1, attempts = attempts + 1
			WHERE id IN (SELECT id FROM due) RETURNING `+jobColumns,
			[]any{escape(queue), escape(owner), micros(now), micros(leaseUntil), bounded(limit, 1, maxList)}, func(r *sql.Rows) error {
				j, err := scanJob(r.Scan)
				got = append(got, j)
				return err
			})
	})
	slices.SortFunc(got, func(a, b store.Job) int { // RETURNING keeps no order
		if c := a.RunAt.Compare(b.RunAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return got, err
}

// RenewLease implements store.Jobs.
func (s *Store) RenewLease(ctx context.Context, id, owner string, fence int64, until time.Time) error {
	return s.whileLeased(ctx, "renew a lease", id, `UPDATE jobs SET lease_until = $3
		WHERE id = $1 AND fence = $2 AND state = 'leased' AND lease_owner = $4`,
		fence, micros(until), escape(owner))
}

// RetryJob implements store.Jobs.
func (s *Store) RetryJob(ctx context.Context, id string, fence int64, runAt time.Time, problem string) error {
	return s.whileLeased(ctx, "retry a job", id, `UPDATE jobs SET state = 'queued', run_at = $3, last_error = $4,
			lease_owner = '', lease_until = 0 WHERE id = $1 AND fence = $2 AND state = 'leased'`,
		fence, micros(runAt), escape(problem))
}

// whileLeased changes a job under its lease, or says who holds it now.
func (s *Store) whileLeased(ctx context.Context, doing, id, query string, args ...any) error {
	return s.write(ctx, doing, func(w *work) error {
		n, err := w.exec(ctx, query, append([]any{escape(id)}, args...)...)
		if err != nil || n == 1 {
			return err
		}
		j, err := scanJob(func(into ...any) error {
			return w.row(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, []any{escape(id)}, into...)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return noJob(id)
		}
		if err != nil {
			return err
		}
		return fault.New(fault.Conflict, "the lease on job %s does not hold: it is %s, owner %q, fence %d", id, j.State, j.LeaseOwner, j.Fence)
	})
}

// ReleaseLeases implements store.Jobs: of jobs, and of incidents.
func (s *Store) ReleaseLeases(ctx context.Context, owner string) error {
	return s.write(ctx, "release leases", func(w *work) error {
		if _, err := w.exec(ctx, `UPDATE jobs SET state = 'queued', lease_owner = '', lease_until = 0
			WHERE lease_owner = $1 AND state = 'leased'`, escape(owner)); err != nil {
			return err
		}
		_, err := w.exec(ctx, `UPDATE incidents SET lease_owner = '', lease_until = 0 WHERE due_at > 0 AND lease_owner = $1`, escape(owner))
		return err
	})
}

// FindJob implements store.Jobs.
func (s *Store) FindJob(ctx context.Context, id string) (store.Job, error) {
	j, err := scanJob(func(into ...any) error {
		return s.reader().row(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, []any{escape(id)}, into...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return store.Job{}, noJob(id)
	}
	return j, s.cfg.Dialect.explain(err, "find a job")
}

// CountJobs implements store.Jobs. The kind of a queue is what stands before
// its first colon.
func (s *Store) CountJobs(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	err := s.reader().rows(ctx, `SELECT queue, count(*) FROM jobs WHERE state IN ('queued', 'leased') GROUP BY queue`, nil, func(r *sql.Rows) error {
		var queue string
		var n int
		err := r.Scan(&queue, &n)
		kind, _, _ := strings.Cut(unescape(queue), ":")
		out[kind] += n
		return err
	})
	return out, s.cfg.Dialect.explain(err, "count jobs")
}

// PullForward implements store.Store.
func (s *Store) PullForward(ctx context.Context, now, leaseUntil time.Time) error {
	return s.write(ctx, "pull due times forward", func(w *work) error {
		for _, late := range []struct {
			query string
			limit time.Time
		}{
			{`UPDATE jobs SET run_at = $1 WHERE state IN ('queued', 'leased') AND run_at > $1`, now},
			{`UPDATE jobs SET lease_until = $1 WHERE state = 'leased' AND lease_until > $1`, leaseUntil},
			{`UPDATE incidents SET due_at = $1 WHERE due_at > $1`, now},
			{`UPDATE incidents SET lease_until = $1 WHERE lease_until > $1`, leaseUntil},
		} {
			if _, err := w.exec(ctx, late.query, micros(late.limit)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Lock implements store.Tx. Extending never shortens.
func (t *tx) Lock(ctx context.Context, name, holder string, now, until time.Time) error {
	if err := checkKeys("name", name, "holder", holder); err != nil {
		return err
	}
	n, err := t.exec(ctx, `INSERT INTO locks (name, holder, until) VALUES ($1, $2, $4)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder,
			until = CASE WHEN locks.holder = excluded.holder AND locks.until > excluded.until THEN locks.until ELSE excluded.until END
		WHERE locks.holder = $2 OR locks.until <= $3`,
		escape(name), escape(holder), micros(now), micros(until))
	if err != nil || n == 1 {
		return err
	}
	var present string
	var free int64
	if err := t.row(ctx, `SELECT holder, until FROM locks WHERE name = $1`, []any{escape(name)}, &present, &free); err != nil {
		return err
	}
	return fault.New(fault.Conflict, "lock %s is held by %s until %s", name, unescape(present), fromMicros(free).Format(time.RFC3339))
}

// Unlock implements store.Tx.
func (t *tx) Unlock(ctx context.Context, holder string) error {
	_, err := t.exec(ctx, `DELETE FROM locks WHERE holder = $1`, escape(holder))
	return err
}

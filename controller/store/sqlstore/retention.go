package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
)

// maxIncidentsDeleted bounds one transaction: an incident may have ten thousand
// signals, and whoever hands in a signal waits meanwhile.
const maxIncidentsDeleted = 100

// DeleteBodies implements store.Bodies. Settled and unmapped bodies go; a
// pending one stays however old it is.
func (s *Store) DeleteBodies(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.deleteRows(ctx, "delete bodies", before, limit, `DELETE FROM bodies WHERE id IN (SELECT id FROM bodies
		WHERE status <> 'pending' AND received_at < $1 ORDER BY received_at, id LIMIT $2)`)
}

// DeleteSignals implements store.Incidents.
func (s *Store) DeleteSignals(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.deleteRows(ctx, "delete signals", before, limit, `DELETE FROM signals WHERE id IN (SELECT id FROM signals
		WHERE incident_id = '' AND received_at < $1 ORDER BY received_at, id LIMIT $2)`)
}

// DeleteJobs implements store.Jobs.
func (s *Store) DeleteJobs(ctx context.Context, endedBefore time.Time, limit int) (int, error) {
	return s.deleteRows(ctx, "delete jobs", endedBefore, limit, `DELETE FROM jobs WHERE id IN (SELECT id FROM jobs
		WHERE incident_id = '' AND ended_at > 0 AND ended_at < $1 AND state NOT IN ('queued', 'leased', 'paused')
		ORDER BY ended_at, id LIMIT $2)`)
}

// DeleteTokens implements store.Tokens. A time of 0 is no expiry.
func (s *Store) DeleteTokens(ctx context.Context, expiredBefore time.Time, limit int) (int, error) {
	return s.deleteRows(ctx, "delete tokens", expiredBefore, limit,
		`DELETE FROM tokens WHERE hash IN (SELECT hash FROM tokens
			WHERE expires_at > 0 AND expires_at < $1 ORDER BY expires_at LIMIT $2)`,
		`DELETE FROM enrol_tokens WHERE hash IN (SELECT hash FROM enrol_tokens
			WHERE used OR (expires_at > 0 AND expires_at < $1) ORDER BY expires_at LIMIT $2)`)
}

// deleteRows runs statements that delete at most $2 rows from before $1, and
// returns how many went.
func (s *Store) deleteRows(ctx context.Context, doing string, before time.Time, limit int, statements ...string) (int, error) {
	var deleted int64
	err := s.write(ctx, doing, func(w *work) error {
		deleted = 0
		for _, statement := range statements {
			n, err := w.exec(ctx, statement, micros(before), bounded(limit, 1000, 10000))
			if err != nil {
				return err
			}
			deleted += n
		}
		return nil
	})
	return int(deleted), err
}

// endedAt is since when an incident is over; zero while it is not. One that
// ended without a resolution is over since its last event.
func endedAt(in *incident.Incident) time.Time {
	switch in.Status {
	case incident.Resolved, incident.Closed, incident.Merged:
		if in.ResolvedAt.IsZero() {
			return in.UpdatedAt
		}
		return in.ResolvedAt
	case incident.New, incident.Diagnosing, incident.AwaitingApproval, incident.Remediating, incident.Verifying,
		incident.Escalated, incident.Suppressed:
	}
	return time.Time{}
}

// DeleteIncidents implements store.Incidents. It is serializable like every
// Update, so that an incident which is opened again meanwhile, or cites the
// same raw output, is seen.
func (s *Store) DeleteIncidents(ctx context.Context, endedBefore time.Time, limit int) (int, error) {
	deleted := 0
	err := s.transact(ctx, sql.LevelSerializable, func(w *work) error {
		deleted = 0
		ids, err := w.texts(ctx, `SELECT id FROM incidents WHERE ended_at > 0 AND ended_at < $1
				AND NOT EXISTS (SELECT 1 FROM jobs WHERE incident_id <> '' AND incident_id = incidents.id
					AND state IN ('queued', 'leased', 'paused') AND (deadline = 0 OR deadline >= $1))
				ORDER BY ended_at, id LIMIT $2 `+s.cfg.Dialect.SkipLocked,
			micros(endedBefore), bounded(limit, 20, maxIncidentsDeleted))
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := w.deleteIncident(ctx, id); err != nil {
				return err
			}
		}
		deleted = len(ids)
		return nil
	})
	return deleted, s.cfg.Dialect.explain(err, "delete incidents")
}

// deleteIncident removes the incident with the stored id, last what others
// refer to.
func (w *work) deleteIncident(ctx context.Context, id string) error {
	cited, err := w.texts(ctx, `DELETE FROM incident_raws WHERE incident_id = $1 RETURNING sha256`, id)
	if err != nil {
		return err
	}
	slices.Sort(cited) // one order for all, against deadlocks
	for _, digest := range cited {
		if _, err := w.exec(ctx, `DELETE FROM raws WHERE sha256 = $1
			AND NOT EXISTS (SELECT 1 FROM incident_raws WHERE sha256 = $1)`, digest); err != nil {
			return err
		}
	}
	for _, statement := range []string{
		`DELETE FROM facts WHERE incident_id = $1`,
		`DELETE FROM signals WHERE incident_id = $1`,
		`DELETE FROM jobs WHERE incident_id <> '' AND incident_id = $1`,
		`DELETE FROM events WHERE incident_id = $1`,
		`DELETE FROM incident_keys WHERE incident_id = $1`,
		`DELETE FROM runs WHERE incident_id = $1`,
		`DELETE FROM incidents WHERE id = $1`,
	} {
		if _, err := w.exec(ctx, statement, id); err != nil {
			return err
		}
	}
	return nil
}

// texts reads the one text column of a query, as stored.
func (w *work) texts(ctx context.Context, query string, args ...any) (texts []string, err error) {
	err = w.rows(ctx, query, args, func(r *sql.Rows) error {
		var text string
		err := r.Scan(&text)
		texts = append(texts, text)
		return err
	})
	return texts, err
}

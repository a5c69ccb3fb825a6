package sqlstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

// SaveEvidence implements store.Tx. The same fact again changes nothing; another
// fact under an id that is in use is refused, because what cites it would
// change its meaning. Bytes that do not have the digest they came with are
// refused.
func (t *tx) SaveEvidence(ctx context.Context, incidentID string, facts []diagnostics.Fact) error {
	if err := checkKeys("incident", incidentID); err != nil {
		return err
	}
	var position int64
	if err := t.row(ctx, `SELECT coalesce(max(position), 0) FROM facts WHERE incident_id = $1`,
		[]any{escape(incidentID)}, &position); err != nil {
		return err
	}
	for _, f := range facts {
		position++
		if err := t.saveFact(ctx, incidentID, position, f); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) saveFact(ctx context.Context, incidentID string, position int64, f diagnostics.Fact) error {
	if err := checkKeys("fact", f.ID); err != nil {
		return err
	}
	raws := make([]diagnostics.Raw, 0, len(f.Raws))
	for _, r := range f.Raws {
		if err := t.saveRaw(ctx, incidentID, &r); err != nil {
			return fmt.Errorf("raw %q of fact %s: %w", r.Name, f.ID, err)
		}
		raws = append(raws, r)
	}
	f.Raws = raws
	doc, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode fact %s: %w", f.ID, err)
	}
	n, err := t.exec(ctx, `INSERT INTO facts (incident_id, position, fact_id, doc) VALUES ($1, $2, $3, $4)
		ON CONFLICT (incident_id, fact_id) DO NOTHING`, escape(incidentID), position, escape(f.ID), doc)
	if err != nil || n == 1 {
		return err
	}
	var present []byte
	if err := t.row(ctx, `SELECT doc FROM facts WHERE incident_id = $1 AND fact_id = $2`,
		[]any{escape(incidentID), escape(f.ID)}, &present); err != nil {
		return err
	}
	if !bytes.Equal(present, doc) {
		return fault.New(fault.Conflict, "incident %s has another fact with the id %s", incidentID, f.ID)
	}
	return nil
}

// saveRaw stores the bytes under their digest, takes them out of r, and notes
// that the incident cites them. A raw that came without its bytes keeps the
// digest it claims.
func (t *tx) saveRaw(ctx context.Context, incidentID string, r *diagnostics.Raw) error {
	sum := sha256.Sum256(r.Data)
	digest := hex.EncodeToString(sum[:])
	switch {
	case r.SHA256 == "":
		r.Seal()
	case len(r.Data) == 0 && r.SHA256 != digest:
		if err := checkKeys("sha256", r.SHA256); err != nil {
			return err
		}
		return t.cite(ctx, incidentID, r.SHA256)
	case r.SHA256 != digest:
		return fault.New(fault.Invalid, "the bytes have the digest %s, not %s", digest, r.SHA256).WithField("sha256")
	}
	if _, err := t.exec(ctx, `INSERT INTO raws (sha256, data) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING`,
		digest, blob(r.Data)); err != nil {
		return err
	}
	r.Data = nil
	return t.cite(ctx, incidentID, digest)
}

// cite notes that the incident cites the raw output, if its bytes are here.
func (t *tx) cite(ctx context.Context, incidentID, digest string) error {
	_, err := t.exec(ctx, `INSERT INTO incident_raws (incident_id, sha256) SELECT $1, sha256 FROM raws WHERE sha256 = $2
		ON CONFLICT (incident_id, sha256) DO NOTHING`, escape(incidentID), escape(digest))
	return err
}

// ListFacts implements store.Evidence.
func (s *Store) ListFacts(ctx context.Context, incidentID string) ([]diagnostics.Fact, error) {
	return listDocs[diagnostics.Fact](ctx, s, "list facts",
		`SELECT doc FROM facts WHERE incident_id = $1 ORDER BY position`, escape(incidentID))
}

// FindRaw implements store.Evidence.
func (s *Store) FindRaw(ctx context.Context, digest string) ([]byte, error) {
	var data []byte
	err := s.reader().row(ctx, `SELECT data FROM raws WHERE sha256 = $1`, []any{escape(digest)}, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "there is no raw output %q", digest)
	}
	return data, s.cfg.Dialect.explain(err, "find a raw output")
}

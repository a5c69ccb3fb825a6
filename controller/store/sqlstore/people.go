package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// saveDoc inserts or replaces the document under its key, with query's $1 and $2.
func (s *Store) saveDoc(ctx context.Context, what, query string, v any, keys ...string) error {
	if err := checkKeys(keys...); err != nil {
		return err
	}
	var args []any
	for i := 1; i < len(keys); i += 2 {
		args = append(args, escape(keys[i]))
	}
	return s.putDoc(ctx, what, query, v, args...)
}

// putDoc writes the document as query's $1, and the args after it.
func (s *Store) putDoc(ctx context.Context, what, query string, v any, args ...any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", what, err)
	}
	args = append([]any{doc}, args...)
	return s.write(ctx, "save "+what, func(w *work) error {
		_, err := w.exec(ctx, query, args...)
		return err
	})
}

// SaveAgent implements store.Agents.
func (s *Store) SaveAgent(ctx context.Context, a store.Agent) error {
	return s.saveDoc(ctx, "agent", `INSERT INTO agents (doc, id) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET doc = excluded.doc`, a, "id", a.ID)
}

// FindAgent implements store.Agents.
func (s *Store) FindAgent(ctx context.Context, id string) (store.Agent, error) {
	return findDoc[store.Agent](ctx, s, "agent", `SELECT doc FROM agents WHERE id = $1`, id)
}

// ListAgents implements store.Agents: by id.
func (s *Store) ListAgents(ctx context.Context) ([]store.Agent, error) {
	return listDocs[store.Agent](ctx, s, "list agents", `SELECT doc FROM agents ORDER BY id`)
}

// AddEnrolToken implements store.Agents.
func (s *Store) AddEnrolToken(ctx context.Context, hash, agent string, expires time.Time) error {
	if err := checkKeys("hash", hash, "agent", agent); err != nil {
		return err
	}
	return s.write(ctx, "add an enrolment token", func(w *work) error {
		n, err := w.exec(ctx, `INSERT INTO enrol_tokens (hash, agent, expires_at, used) VALUES ($1, $2, $3, $4)
			ON CONFLICT (hash) DO NOTHING`, escape(hash), escape(agent), micros(expires), false)
		if err == nil && n == 0 {
			return fault.New(fault.Conflict, "the enrolment token exists already")
		}
		return err
	})
}

// FindEnrolToken implements store.Agents.
func (s *Store) FindEnrolToken(ctx context.Context, hash string, now time.Time) (agent string, err error) {
	err = s.reader().row(ctx, `SELECT agent FROM enrol_tokens WHERE hash = $1 AND used = $3 AND expires_at > $2`,
		[]any{escape(hash), micros(now), false}, &agent)
	if errors.Is(err, sql.ErrNoRows) {
		return "", noEnrolToken()
	}
	return unescape(agent), s.cfg.Dialect.explain(err, "find an enrolment token")
}

func noEnrolToken() error {
	return fault.New(fault.Unauthenticated, "the enrolment token is unknown, used or expired").
		WithHint("make a new one with: secondline agents enroll-token")
}

// UseEnrolToken implements store.Agents. One statement checks and takes it.
func (s *Store) UseEnrolToken(ctx context.Context, hash string, now time.Time) (agent string, err error) {
	err = s.write(ctx, "use an enrolment token", func(w *work) error {
		err := w.row(ctx, `UPDATE enrol_tokens SET used = $3 WHERE hash = $1 AND used = $4 AND expires_at > $2 RETURNING agent`,
			[]any{escape(hash), micros(now), true, false}, &agent)
		if errors.Is(err, sql.ErrNoRows) {
			return noEnrolToken()
		}
		return err
	})
	return unescape(agent), err
}

// SaveToken implements store.Tokens.
func (s *Store) SaveToken(ctx context.Context, t store.Token) error {
	if err := checkKeys("hash", t.Hash); err != nil {
		return err
	}
	return s.putDoc(ctx, "token", `INSERT INTO tokens (doc, hash, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (hash) DO UPDATE SET doc = excluded.doc, expires_at = excluded.expires_at`,
		t, escape(t.Hash), micros(t.ExpiresAt))
}

// FindToken implements store.Tokens.
func (s *Store) FindToken(ctx context.Context, hash string) (store.Token, error) {
	t, err := findDoc[store.Token](ctx, s, "token", `SELECT doc FROM tokens WHERE hash = $1`, hash)
	if fault.Is(err, fault.NotFound) {
		return t, fault.New(fault.NotFound, "there is no such token") // the hash is nobody's business
	}
	return t, err
}

// ListTokens implements store.Tokens: by hash.
func (s *Store) ListTokens(ctx context.Context) ([]store.Token, error) {
	return listDocs[store.Token](ctx, s, "list tokens", `SELECT doc FROM tokens ORDER BY hash`)
}

// SaveCheck implements store.Checks.
func (s *Store) SaveCheck(ctx context.Context, c store.CheckState) error {
	return s.saveDoc(ctx, "check", `INSERT INTO checks (doc, name, target) VALUES ($1, $2, $3)
		ON CONFLICT (name, target) DO UPDATE SET doc = excluded.doc`, c, "name", c.Name, "target", c.Target)
}

// ListChecks implements store.Checks: by name, then target.
func (s *Store) ListChecks(ctx context.Context) ([]store.CheckState, error) {
	return listDocs[store.CheckState](ctx, s, "list checks", `SELECT doc FROM checks ORDER BY name, target`)
}

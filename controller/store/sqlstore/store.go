package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// DefaultQueueLimit is how many bodies, and apart from them how many updates,
// may wait for the writer. Their bytes are bounded too.
const DefaultQueueLimit = 4096

// Repeats of a transaction that lost against another one: with the pause
// doubling from 1 ms to 64 ms they take about a second.
const (
	maxRepeats    = 24
	firstPause    = time.Millisecond
	pauseDoubling = 6
)

// Config is an opened engine and how to use it.
type Config struct {
	Dialect Dialect
	Write   *sql.DB
	Read    *sql.DB // may be the same as Write
	// SingleWriter makes every change go through the group-commit writer; else
	// only bodies do, and Updates run at once, serializable, and repeat when
	// they lose.
	SingleWriter bool
	QueueLimit   int           // 0 means DefaultQueueLimit
	QueueWait    time.Duration // how long a body may wait for the writer; 0 means DefaultQueueWait
	Logger       *slog.Logger
	// Release gives back what the opener holds (a lock file); nil means nothing.
	Release func() error
}

// Store implements store.Store. It is safe for concurrent use.
type Store struct {
	cfg  Config
	lane *lane

	closing  sync.Once
	closeErr error
}

var _ store.Store = (*Store)(nil)

// Open migrates the schema and starts the writer. On an error it closes nothing:
// the handles are still the caller's.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := migrate(ctx, cfg.Write, cfg.Dialect, cfg.Logger); err != nil {
		return nil, err
	}
	if cfg.QueueLimit <= 0 {
		cfg.QueueLimit = DefaultQueueLimit
	}
	if cfg.QueueWait <= 0 {
		cfg.QueueWait = DefaultQueueWait
	}
	return &Store{cfg: cfg, lane: startLane(cfg.Write, cfg.QueueLimit, cfg.QueueWait)}, nil
}

// Close lets queued writes finish, then closes the engine. It may be called
// twice.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.lane.close()
		s.closeErr = s.cfg.Read.Close()
		if s.cfg.Write != s.cfg.Read {
			s.closeErr = errors.Join(s.closeErr, s.cfg.Write.Close())
		}
		if s.cfg.Release != nil {
			s.closeErr = errors.Join(s.closeErr, s.cfg.Release())
		}
	})
	return s.closeErr
}

// Ping writes a row, because a store that can only be read is not ready.
func (s *Store) Ping(ctx context.Context) error {
	return s.write(ctx, "ping the store", func(w *work) error {
		_, err := w.exec(ctx, `INSERT INTO counters (name, value) VALUES ('ping', 1)
			ON CONFLICT (name) DO UPDATE SET value = counters.value + 1`)
		return err
	})
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, fn func(tx store.Tx) error) error {
	err := s.transact(ctx, sql.LevelSerializable, func(w *work) error { return fn(&tx{w}) })
	return s.cfg.Dialect.explain(err, "update the store")
}

// write runs a change of our own. Each is one statement or needs no more than
// read committed.
func (s *Store) write(ctx context.Context, doing string, fn func(w *work) error) error {
	return s.cfg.Dialect.explain(s.transact(ctx, sql.LevelReadCommitted, fn), doing)
}

func (s *Store) transact(ctx context.Context, level sql.IsolationLevel, fn func(w *work) error) error {
	if s.cfg.SingleWriter {
		return s.share(ctx, fn)
	}
	err := s.attempt(ctx, level, fn)
	for n := 0; n < maxRepeats && err != nil && s.cfg.Dialect.Classify(err) == Repeat; n++ {
		most := firstPause << min(n, pauseDoubling)
		pause := time.NewTimer(most/2 + rand.N(most/2)) //nolint:gosec // jitter, not a secret
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
		err = s.attempt(ctx, level, fn)
	}
	return err
}

// share runs fn in the writer's next transaction.
func (s *Store) share(ctx context.Context, fn func(w *work) error) error {
	w := &work{dialect: s.cfg.Dialect, detached: true}
	err := s.lane.update(ctx, func(q querier) error {
		w.q = q
		return cmpErr(fn(w), w.broken)
	})
	if err != nil {
		w.undo()
	}
	return err
}

// attempt runs fn in a transaction of its own.
func (s *Store) attempt(ctx context.Context, level sql.IsolationLevel, fn func(w *work) error) (err error) {
	t, err := s.cfg.Write.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return err
	}
	w := &work{dialect: s.cfg.Dialect, q: t}
	committed := false
	defer func() { // also when fn panics
		if !committed {
			_ = t.Rollback() // err says why; after a failed commit there is nothing left to undo
			w.undo()
		}
	}()
	if err := cmpErr(fn(w), w.broken); err != nil {
		if w.broken != nil && w.dialect.Classify(w.broken) == Repeat {
			return w.broken // whatever fn made of it
		}
		return err
	}
	if err := t.Commit(); err != nil {
		return err
	}
	committed = true
	return nil
}

// work is one transaction, or one turn in a shared one.
type work struct {
	dialect  Dialect
	q        querier
	detached bool // statements must not be interrupted: others share the transaction
	broken   error
	undos    []func()
}

// undo takes back what was changed in memory, newest first.
func (w *work) undo() {
	for _, v := range slices.Backward(w.undos) {
		v()
	}
	w.undos = nil
}

// enter says with which context the next statement may run. After an engine
// failure there is none: SQLite may have left the transaction, and what ran
// then would be committed on its own.
func (w *work) enter(ctx context.Context) (context.Context, error) {
	if w.broken != nil {
		return nil, w.broken
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.detached {
		return context.WithoutCancel(ctx), nil
	}
	return ctx, nil
}

func (w *work) leave(err error) error {
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		if _, ours := errors.AsType[*fault.Error](err); !ours {
			w.broken = err
		}
	}
	return err
}

func (w *work) exec(ctx context.Context, query string, args ...any) (affected int64, err error) {
	ctx, err = w.enter(ctx)
	if err != nil {
		return 0, err
	}
	result, err := w.q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, w.leave(err)
	}
	return result.RowsAffected()
}

// row reads one row; sql.ErrNoRows when there is none.
func (w *work) row(ctx context.Context, query string, args []any, into ...any) error {
	ctx, err := w.enter(ctx)
	if err != nil {
		return err
	}
	return w.leave(w.q.QueryRowContext(ctx, query, args...).Scan(into...))
}

// rows reads all rows of a query through scan.
func (w *work) rows(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	ctx, err := w.enter(ctx)
	if err != nil {
		return err
	}
	return w.leave(eachRow(ctx, w.q, query, args, scan))
}

// reader is a work that only reads, outside any transaction.
func (s *Store) reader() *work { return &work{dialect: s.cfg.Dialect, q: s.cfg.Read} }

func eachRow(ctx context.Context, q querier, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Package postgres opens the store on PostgreSQL, for several controllers at
// once. Updates are serializable transactions that repeat when they lose;
// claims skip what others hold; bodies share commits. The statements are in
// store/sqlstore.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlstore"
	"github.com/secondline-ops/secondline/internal/fault"
)

// DefaultMaxConns is how many connections one controller uses. PostgreSQL
// allows 100 in all by default, and serializable transactions that run at once
// lose against each other more often the more there are.
const DefaultMaxConns = 10

// Options tune the store; the zero value is right for a controller.
type Options struct {
	Logger     *slog.Logger // nil discards
	QueueLimit int          // bodies that may wait; 0 means sqlstore.DefaultQueueLimit
	MaxConns   int          // 0 means DefaultMaxConns; at least 2
}

// Open connects to the database and brings its schema up to date; several
// controllers may do so at the same time. The text of an error never has the
// password in it.
func Open(ctx context.Context, dsn string, o Options) (store.Store, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// pgx's own text quotes the connection string, password masked by its best effort only.
		return nil, fault.New(fault.Invalid, "the PostgreSQL connection string cannot be read").WithField("store.dsn").
			WithHint("use postgres://user@host:5432/database or key=value pairs; the password may come from a passfile")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxConns <= 0 {
		o.MaxConns = DefaultMaxConns
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, fmt.Errorf("prepare the migration lock: %w", err)
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(max(o.MaxConns, 2))
	db.SetMaxIdleConns(max(o.MaxConns, 2))
	s, err := sqlstore.Open(ctx, sqlstore.Config{
		Dialect: sqlstore.Dialect{
			Name: "PostgreSQL", Migrations: goose.DialectPostgres, Locker: locker,
			SkipLocked: "FOR UPDATE SKIP LOCKED", Classify: classify,
		},
		Write: db, Read: db, QueueLimit: o.QueueLimit, Logger: o.Logger,
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// classify reads SQLSTATE codes (PostgreSQL manual, appendix A).
func classify(err error) sqlstore.Failure {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "40001", "40P01": // serialization_failure, deadlock_detected
			return sqlstore.Repeat
		case "23505": // unique_violation
			return sqlstore.Duplicate
		case "53100", "53200", "53300": // disk_full, out_of_memory, too_many_connections
			return sqlstore.Full
		case "57P01", "57P02", "57P03", "25006": // shutting down, crashed, starting up, a read-only standby
			return sqlstore.Gone
		}
		return sqlstore.Other
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) // a server that crashed, on a full disk for one, says no more
	if connecting || network || ended || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err) {
		return sqlstore.Gone
	}
	return sqlstore.Other
}

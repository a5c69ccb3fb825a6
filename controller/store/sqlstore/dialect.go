package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/secondline-ops/secondline/internal/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Failure is what an engine's error means for the caller.
type Failure int

// The meanings of an engine's error.
const (
	Other     Failure = iota // a bug or a broken engine
	Duplicate                // a unique key exists already
	Repeat                   // the transaction lost against another one; the same again may do
	Full                     // no room on the disk, or no connection left
	Gone                     // the engine cannot be reached
)

// Dialect is what differs between the engines.
type Dialect struct {
	Name       string
	Migrations goose.Dialect
	Locker     lock.SessionLocker // keeps two controllers from migrating at once; nil where only one can open the store
	SkipLocked string             // ends the selection of rows to claim
	Classify   func(error) Failure
}

// explain gives an engine's error the kind that callers decide on.
func (d Dialect) explain(err error, doing string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch d.Classify(err) {
	case Full:
		return fault.Wrap(fault.Overloaded, err, "%s: the store has no room", doing).
			WithHint("free disk space where the %s store lives, or raise its limits; nothing was accepted that was not stored", d.Name)
	case Gone:
		return fault.Wrap(fault.Unreachable, err, "%s: the %s store does not answer", doing, d.Name)
	case Repeat:
		return fault.Wrap(fault.Transient, err, "%s: lost against other transactions", doing)
	case Duplicate:
		return fault.Wrap(fault.Conflict, err, "%s: it exists already", doing)
	case Other:
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// migrate brings the schema to what this program knows, and refuses a schema
// that a newer one has written.
func migrate(ctx context.Context, db *sql.DB, d Dialect, logger *slog.Logger) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithSlog(logger), goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(runsMigration(d))}
	if d.Locker != nil {
		options = append(options, goose.WithSessionLocker(d.Locker))
	}
	p, err := goose.NewProvider(d.Migrations, db, files, options...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return d.explain(err, "migrate the store")
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return d.explain(err, "read the version of the store")
	}
	if current > target {
		return fault.New(fault.Conflict, "the store has schema version %d, this program knows %d", current, target).
			WithHint("start the newer release that wrote it, or restore a backup from before the upgrade")
	}
	return nil
}

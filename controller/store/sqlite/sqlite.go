// Package sqlite opens the embedded store: one file, one writer with group
// commit, a pool of readers, every commit on the disk before it is answered.
// One process may have it open; a second one is refused with the pid of the
// first. The statements are in store/sqlstore.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlstore"
)

// Sync is when a commit counts as durable.
type Sync string

// The kinds of Sync.
const (
	SyncFull   Sync = "FULL"   // after fsync; the default, and the only one that keeps the promise of intake
	SyncNormal Sync = "NORMAL" // a power loss may take the last commits; a killed process takes none
)

// readers is how many connections read at once; more than cores only queue up.
const readers = 6

// checkpointPages is how large the write-ahead log grows before the writer
// copies it into the file: 2 MiB. Measured with bodies of 500 alerts, two
// senders, other work on both cores: 500 pages p99 24 to 50 ms, 1,000 (SQLite's
// default) 46 to 52, 4,000 76 to 200, 16,000 up to 290, and no less throughput
// with the small ones.
const checkpointPages = 500

// Options tune the store; the zero value is right for a controller.
type Options struct {
	Logger     *slog.Logger  // nil discards
	QueueLimit int           // writes that may wait; 0 means sqlstore.DefaultQueueLimit
	QueueWait  time.Duration // how long a body may wait for the writer; 0 means sqlstore.DefaultQueueWait
	Sync       Sync          // "" means SyncFull
}

// Open opens or creates the store at path; the folder must exist. It refuses
// with Conflict when another process has it open, and when a newer release
// wrote it.
func Open(ctx context.Context, path string, o Options) (store.Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Sync == "" {
		o.Sync = SyncFull
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	lock, err := takeLock(path + ".lock")
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, path, o, lock)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	return s, nil
}

func open(ctx context.Context, path string, o Options, lock *lockFile) (*sqlstore.Store, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("create the store: %w", err)
	}
	write, err := sql.Open("sqlite", dsn(path, o.Sync, "_txlock=immediate"))
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	write.SetMaxOpenConns(1) // SQLite has one writer; a second connection would only wait
	read, err := sql.Open("sqlite", dsn(path, o.Sync, "_pragma=query_only(1)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store: %w", err), write.Close())
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	s, err := sqlstore.Open(ctx, sqlstore.Config{
		Dialect: dialect(), Write: write, Read: read, SingleWriter: true,
		QueueLimit: o.QueueLimit, QueueWait: o.QueueWait, Logger: o.Logger, Release: lock.release,
	})
	if err != nil {
		return nil, errors.Join(err, read.Close(), write.Close())
	}
	return s, nil
}

// create makes the file readable for its owner alone (SQLite gives its log the
// same mode) and its name durable.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func dsn(path string, sync Sync, extra string) string {
	pragmas := []string{
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(" + string(sync) + ")", "foreign_keys(1)",
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages), "temp_store(MEMORY)",
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: extra + "&_pragma=" + strings.Join(pragmas, "&_pragma=")}
	return u.String()
}

func dialect() sqlstore.Dialect {
	return sqlstore.Dialect{Name: "SQLite", Migrations: goose.DialectSQLite3, Classify: classify}
}

// classify reads SQLite's result codes (sqlite.org/rescode.html).
func classify(err error) sqlstore.Failure {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return sqlstore.Other
	}
	switch e.Code() {
	case lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_UNIQUE:
		return sqlstore.Duplicate
	case lib.SQLITE_IOERR_SHMSIZE: // the log's index cannot grow
		return sqlstore.Full
	}
	switch e.Code() & 0xff { // the primary code
	case lib.SQLITE_FULL:
		return sqlstore.Full
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return sqlstore.Repeat
	}
	return sqlstore.Other
}

package postgres

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/secondline-ops/secondline/controller/store/sqlstore"
)

func TestWhatTheServerSaysOrDoesNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want sqlstore.Failure
	}{
		"disk full":          {&pgconn.PgError{Code: "53100"}, sqlstore.Full},
		"no connection left": {&pgconn.PgError{Code: "53300"}, sqlstore.Full},
		"shutting down":      {&pgconn.PgError{Code: "57P01"}, sqlstore.Gone},
		"ended in a message": {fmt.Errorf("receive: %w", io.ErrUnexpectedEOF), sqlstore.Gone},
		"ended":              {fmt.Errorf("receive: %w", io.EOF), sqlstore.Gone},
		"a dead connection":  {driver.ErrBadConn, sqlstore.Gone},
		"refused":            {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, sqlstore.Gone},
		"a syntax error":     {&pgconn.PgError{Code: "42601"}, sqlstore.Other},
		"something else":     {errors.New("a bug"), sqlstore.Other},
	} {
		if got := classify(fmt.Errorf("store: %w", c.err)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

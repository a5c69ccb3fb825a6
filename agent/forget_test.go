package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
)

type nowhere struct{}

func (nowhere) Reach(context.Context, job.Target) (remote.Transport, error) {
	return nil, errors.New("nothing is reached here")
}

func TestOnlyOldAcceptedJobsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		dir := t.TempDir()
		book, err := journal.Open(dir, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = book.Close() }()
		record := func(id string, kinds ...journal.Kind) {
			for _, kind := range kinds {
				if err := book.Append(t.Context(), journal.Entry{Job: id, Kind: kind}); err != nil {
					t.Fatal(err)
				}
			}
		}
		record("old", journal.Lease, journal.Report, journal.Accepted)
		record("never accepted", journal.Lease, journal.Plan)
		time.Sleep(8 * day)
		record("young", journal.Lease, journal.Report, journal.Accepted)

		a, err := New(Options{
			Identity: job.Identity{Name: "web1", CA: []byte("ca")}, Addresses: []string{"nowhere:7421"}, Journal: book,
			Probes: &diagnostics.ProbeSet{}, Reach: nowhere{}, Redactor: redact.New(), Now: time.Now,
			Rand: rand.New(rand.NewPCG(1, 2)), Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
			Timing: Timing{FirstRetry: 30 * day, MaxRetry: 30 * day}, // it cannot reach its controller, which must not matter
			Dial:   func(context.Context, string) (net.Conn, error) { return nil, errors.New("no route to host") },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		expect := func(when string, want map[string]bool) {
			t.Helper()
			synctest.Wait()
			files := 0
			for id, known := range want {
				if book.Knows(id) != known {
					t.Errorf("%s: %s is known: %t", when, id, !known)
				}
				if known {
					files++
				}
			}
			found, err := filepath.Glob(filepath.Join(dir, "*.journal"))
			if err != nil || len(found) != files {
				t.Errorf("%s: %d files, %v, want %d", when, len(found), err, files)
			}
		}
		expect("after the start", map[string]bool{"old": false, "never accepted": true, "young": true})
		time.Sleep(7*day - time.Hour)
		expect("after less than a week", map[string]bool{"old": false, "never accepted": true, "young": true})
		time.Sleep(2 * time.Hour)
		expect("after a week", map[string]bool{"old": false, "never accepted": true, "young": false})
		time.Sleep(9 * 7 * day)
		expect("after months", map[string]bool{"old": false, "never accepted": true, "young": false})
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

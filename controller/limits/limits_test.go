package limits_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/limits"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

var t0 = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

func openStore(t *testing.T) store.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), sqlite.Options{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// reserve commits what was taken even when it was refused, as the main loop does.
func reserve(t *testing.T, db store.Store, plan *runbooks.Plan, run string, now time.Time) (refused error) {
	t.Helper()
	err := db.Update(t.Context(), func(tx store.Tx) error {
		refused = limits.Reserve(t.Context(), tx, plan, run, now)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return refused
}

func TestOneRunAtATimeOnEachTarget(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	plan := &runbooks.Plan{Target: "web1", Locks: []string{"host"}, WorstCase: time.Minute}
	other := &runbooks.Plan{Target: "web2", Locks: []string{"host"}, WorstCase: time.Minute}
	if err := reserve(t, db, plan, "run-1", t0); err != nil {
		t.Fatal(err)
	}
	if err := reserve(t, db, plan, "run-1", t0); err != nil {
		t.Errorf("the holder itself is refused: %v", err)
	}
	if err := reserve(t, db, plan, "run-2", t0.Add(time.Minute)); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
	if err := reserve(t, db, other, "run-2", t0); err != nil {
		t.Errorf("another target is refused: %v", err)
	}
	if err := reserve(t, db, plan, "run-3", t0.Add(12*time.Minute)); err != nil {
		t.Errorf("a lock that nobody gave back holds for ever: %v", err)
	}
	err := db.Update(t.Context(), func(tx store.Tx) error { return limits.Release(context.Background(), tx, "run-3") })
	if err != nil {
		t.Fatal(err)
	}
	if err := reserve(t, db, plan, "run-4", t0.Add(12*time.Minute)); err != nil {
		t.Errorf("after release: %v", err)
	}
}

// Two runs that each hold what the other needs would wait for each other.
func TestRefusedRunHoldsNothing(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	a := &runbooks.Plan{Target: "web1", Locks: []string{"cluster"}, WorstCase: time.Minute}
	b := &runbooks.Plan{Target: "web2", Locks: []string{"cluster"}, WorstCase: time.Minute}
	onB := &runbooks.Plan{Target: "web2", WorstCase: time.Minute}
	if err := reserve(t, db, a, "run-a", t0); err != nil {
		t.Fatal(err)
	}
	if err := reserve(t, db, b, "run-b", t0); !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v", err)
	}
	if err := reserve(t, db, onB, "run-c", t0); err != nil {
		t.Errorf("what was refused still holds its target: %v", err)
	}
}

func TestNoMoreRunsThanARateAllows(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	plan := func(target string) *runbooks.Plan {
		return &runbooks.Plan{Target: target, WorstCase: time.Minute, Rates: []runbooks.PlannedRate{
			{Name: "restart on " + target, Most: 2, Within: 24 * time.Hour}, {Name: "restart", Most: 3, Within: time.Hour},
		}}
	}
	ends := func(run string) {
		t.Helper()
		if err := db.Update(t.Context(), func(tx store.Tx) error { return limits.Release(t.Context(), tx, run) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, run := range []string{"a", "b"} {
		if err := reserve(t, db, plan("web1"), run, t0); err != nil {
			t.Fatal(err)
		}
		ends(run)
	}
	if err := reserve(t, db, plan("web1"), "c", t0.Add(23*time.Hour)); !errors.Is(err, limits.ErrRate) {
		t.Errorf("a third run on web1 within a day: %v", err)
	}
	if err := reserve(t, db, plan("web2"), "d", t0); err != nil {
		t.Fatal(err)
	}
	ends("d")
	if err := reserve(t, db, plan("web3"), "e", t0); !errors.Is(err, limits.ErrRate) {
		t.Errorf("a fourth run within the hour: %v", err)
	}
	// What was refused holds and counts nothing.
	if err := reserve(t, db, plan("web3"), "f", t0.Add(time.Hour)); err != nil {
		t.Errorf("the next hour: %v", err)
	}
	ends("f")
	if err := reserve(t, db, plan("web1"), "g", t0.Add(24*time.Hour)); err != nil {
		t.Errorf("the next day: %v", err)
	}
}

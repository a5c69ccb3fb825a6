package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

func updates(t *testing.T, fresh func(t *testing.T) Place) {
	t.Run("all of it or nothing", func(t *testing.T) { atomicity(t, opened(t, fresh)) })
	t.Run("one that goes wrong takes no other down", func(t *testing.T) { isolation(t, opened(t, fresh)) })
	t.Run("after an engine error nothing more runs", func(t *testing.T) { poisoned(t, opened(t, fresh)) })
	t.Run("a context that ended", func(t *testing.T) { contexts(t, opened(t, fresh)) })
	t.Run("closed", func(t *testing.T) {
		s := fresh(t)(t)
		must(t, s.Ping(t.Context()))
		must(t, s.Close())
		must(t, s.Close())
		if s.AppendBody(t.Context(), body("b", 1)) == nil || s.Ping(t.Context()) == nil {
			t.Fatal("a closed store accepts")
		}
	})
}

// everything writes into every table that a transaction can reach.
func everything(ctx context.Context, tx store.Tx, in *incident.Incident) error {
	_, enqueued := tx.Enqueue(ctx, store.Job{ID: "j-" + in.ID, Queue: "notify", Key: "k-" + in.ID, RunAt: at(1)})
	return errors.Join(enqueued,
		tx.SaveIncident(ctx, in),
		tx.SaveSignals(ctx, []incident.Signal{{ID: "s-" + in.ID, IncidentID: in.ID, ReceivedAt: at(1)}}),
		tx.SaveEvidence(ctx, in.ID, []diagnostics.Fact{fact("p#1", []byte(in.ID))}),
		tx.Lock(ctx, "lock-"+in.ID, in.ID, at(0), at(10)),
		tx.AdvanceBody(ctx, "b", 0, 7),
		tx.SettleBody(ctx, "b", store.BodySettled, ""),
	)
}

func atomicity(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, s.AppendBody(ctx, body("b", 1)))
	in := newIncident("a")
	err := s.Update(ctx, func(tx store.Tx) error {
		if err := everything(ctx, tx, in); err != nil {
			return err
		}
		if found, err := tx.FindIncident(ctx, "a"); err != nil || found.Version != 1 {
			return fmt.Errorf("the transaction does not see its own writes: %w", err)
		}
		return errHalfWay
	})
	if !errors.Is(err, errHalfWay) {
		t.Fatalf("Update returns %v", err)
	}
	if in.Version != 0 || in.Number != 0 {
		t.Fatalf("the incident of an undone update has version %d, number %d", in.Version, in.Number)
	}
	_, err = s.FindIncident(ctx, "a")
	wantKind(t, err, fault.NotFound)
	_, err = s.FindSignal(ctx, "s-a")
	wantKind(t, err, fault.NotFound)
	_, err = s.FindJob(ctx, "j-a")
	wantKind(t, err, fault.NotFound)
	facts, err := s.ListFacts(ctx, "a")
	must(t, err)
	pending, err := s.PendingBodies(ctx, 1)
	must(t, err)
	if len(facts) != 0 || len(pending) != 1 {
		t.Fatalf("an undone update left %d facts and %d pending bodies", len(facts), len(pending))
	}
	// The very same again, with the same incident in memory, now comes through:
	// nothing was lost from it.
	update(t, s, func(tx store.Tx) error { return everything(ctx, tx, in) })
	events, err := s.ListEvents(ctx, "a", 0, 10)
	must(t, err)
	if in.Version != 1 || in.Number != 1 || len(events) != 1 {
		t.Fatalf("saved again: version %d, number %d, %d events", in.Version, in.Number, len(events))
	}
}

func isolation(t *testing.T, s store.Store) {
	ctx := t.Context()
	var good, bad atomic.Int64
	together(workers, func(i int) {
		in := newIncident(fmt.Sprintf("i%d", i))
		defer func() {
			if r := recover(); r != nil {
				bad.Add(1)
			}
		}()
		err := s.Update(ctx, func(tx store.Tx) error {
			if err := tx.SaveIncident(ctx, in); err != nil {
				return err
			}
			switch i % 4 {
			case 1:
				return errHalfWay
			case 2:
				panic("a bug in the caller")
			case 3:
				return tx.SaveIncident(ctx, &incident.Incident{ID: in.ID}) // exists: a Conflict
			}
			return nil
		})
		if err == nil {
			good.Add(1)
		} else {
			bad.Add(1)
		}
	})
	counts, err := s.CountIncidents(ctx)
	must(t, err)
	if good.Load() != workers/4 || bad.Load() != 3*workers/4 || counts[incident.New] != workers/4 {
		t.Fatalf("%d good, %d bad, %v stored", good.Load(), bad.Load(), counts)
	}
}

func poisoned(t *testing.T, s store.Store) {
	ctx := t.Context()
	saved(t, s, newIncident("a"))
	again := newIncident("a")
	again.Version, again.Number = 1, 1 // looks loaded; its event number 1 exists
	err := s.Update(ctx, func(tx store.Tx) error {
		_ = tx.SaveIncident(ctx, again)
		_, err := tx.Enqueue(ctx, store.Job{ID: "j"})
		if err == nil {
			t.Error("a transaction went on after the engine refused a statement")
		}
		return nil
	})
	wantKind(t, err, fault.Conflict)
	_, err = s.FindJob(ctx, "j")
	wantKind(t, err, fault.NotFound)
	in, err := s.FindIncident(ctx, "a")
	must(t, err)
	if in.Version != 1 {
		t.Fatalf("version is %d", in.Version)
	}
}

func contexts(t *testing.T, s store.Store) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	ran := false
	err := s.Update(gone, func(store.Tx) error {
		ran = true
		return nil
	})
	if !errors.Is(err, context.Canceled) || ran {
		t.Fatalf("Update with an ended context: %v, ran %v", err, ran)
	}
	if err := s.AppendBody(gone, body("b", 1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("AppendBody with an ended context: %v", err)
	}
	during, cancel := context.WithCancel(t.Context())
	err = s.Update(during, func(tx store.Tx) error {
		if err := tx.SaveIncident(during, newIncident("a")); err != nil {
			return err
		}
		cancel()
		return tx.SaveIncident(during, newIncident("b"))
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Update whose context ended in the middle: %v", err)
	}
	list, _, err := s.ListIncidents(t.Context(), store.IncidentFilter{})
	must(t, err)
	if len(list) != 0 {
		t.Fatalf("it left %d incidents", len(list))
	}
}

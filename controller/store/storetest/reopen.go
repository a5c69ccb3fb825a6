package storetest

import (
	"testing"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// reopen says that what was answered is there after the store was closed and
// opened again, and that nothing begins anew.
func reopen(t *testing.T, fresh func(t *testing.T) Place) {
	place, ctx := fresh(t), t.Context()
	s := openAt(t, place)
	must(t, s.AppendBody(ctx, body("b", 1)))
	in := newIncident("a")
	in.DueAt = at(1)
	update(t, s, func(tx store.Tx) error { return everything(ctx, tx, in) })
	_, err := s.ClaimJobs(ctx, "notify", "one", at(1), at(50), 1)
	must(t, err)
	must(t, s.Close())

	s = openAt(t, place)
	got, err := s.FindIncident(ctx, "1")
	must(t, err)
	if got.ID != "a" || got.Version != 1 || got.Seq != 1 {
		t.Fatalf("found %+v", got)
	}
	b, err := s.FindBody(ctx, "b")
	must(t, err)
	if b.Status != store.BodySettled {
		t.Fatalf("the body is %s", b.Status)
	}
	jobs, err := s.ClaimJobs(ctx, "notify", "two", at(50), at(60), 1)
	must(t, err)
	if len(jobs) != 1 || jobs[0].Fence != 2 {
		t.Fatalf("claimed %+v: fences must go on", jobs)
	}
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.Lock(ctx, "lock-a", "b", at(1), at(2)) }), fault.Conflict)
	if next := saved(t, s, newIncident("b")); next.Number != 2 {
		t.Fatalf("the next incident has number %d", next.Number)
	}
	facts, err := s.ListFacts(ctx, "a")
	must(t, err)
	if len(facts) != 1 {
		t.Fatalf("%d facts", len(facts))
	}
}

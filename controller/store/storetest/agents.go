package storetest

import (
	"sync/atomic"
	"testing"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

func agents(t *testing.T, fresh func(t *testing.T) Place) {
	s, ctx := opened(t, fresh), t.Context()
	a := store.Agent{ID: "a", Serial: "0af1", Version: "1", Host: "db1", Mode: "act", Targets: []string{"db1", "db2"}, EnrolledAt: at(1), SeenAt: at(2)}
	b := store.Agent{ID: "b", Targets: []string{}}
	must(t, s.SaveAgent(ctx, b))
	must(t, s.SaveAgent(ctx, a))
	a.SeenAt, a.RevokedAt = at(3), at(4)
	must(t, s.SaveAgent(ctx, a))
	got, err := s.FindAgent(ctx, "a")
	must(t, err)
	wantSame(t, got, a)
	list, err := s.ListAgents(ctx)
	must(t, err)
	wantSame(t, list, []store.Agent{a, b})
	_, err = s.FindAgent(ctx, "nobody")
	wantKind(t, err, fault.NotFound)

	must(t, s.AddEnrolToken(ctx, "h1", "db1", at(10)))
	wantKind(t, s.AddEnrolToken(ctx, "h1", "db2", at(99)), fault.Conflict)
	for _, try := range []struct {
		hash string
		now  int
	}{{"unknown", 1}, {"h1", 10}, {"h1", 11}} {
		_, err = s.UseEnrolToken(ctx, try.hash, at(try.now))
		wantKind(t, err, fault.Unauthenticated)
		_, err = s.FindEnrolToken(ctx, try.hash, at(try.now))
		wantKind(t, err, fault.Unauthenticated)
	}
	for range 2 { // looking takes nothing
		if name, err := s.FindEnrolToken(ctx, "h1", at(9)); err != nil || name != "db1" {
			t.Fatalf("the token is for %q (%v)", name, err)
		}
	}
	name, err := s.UseEnrolToken(ctx, "h1", at(9))
	must(t, err)
	if name != "db1" {
		t.Fatalf("the token is for %q", name)
	}
	_, err = s.UseEnrolToken(ctx, "h1", at(9))
	wantKind(t, err, fault.Unauthenticated)
	_, err = s.FindEnrolToken(ctx, "h1", at(9))
	wantKind(t, err, fault.Unauthenticated)

	must(t, s.AddEnrolToken(ctx, "race", "", at(10)))
	var taken atomic.Int64
	together(workers, func(int) {
		_, err := s.UseEnrolToken(ctx, "race", at(1))
		switch fault.KindOf(err) {
		case "":
			taken.Add(1)
		case fault.Unauthenticated:
		default:
			t.Errorf("UseEnrolToken: %v", err)
		}
	})
	if taken.Load() != 1 {
		t.Fatalf("%d callers took the one-time token", taken.Load())
	}
}

func tokensAndChecks(t *testing.T, fresh func(t *testing.T) Place) {
	s, ctx := opened(t, fresh), t.Context()
	a := store.Token{Hash: "ha", Name: "person:ada", Role: "admin", CreatedAt: at(1)}
	b := store.Token{Hash: "hb", Name: "source:am", Role: "webhook", Source: "alertmanager", CreatedAt: at(1), ExpiresAt: at(9)}
	must(t, s.SaveToken(ctx, b))
	must(t, s.SaveToken(ctx, a))
	b.RevokedAt = at(5)
	must(t, s.SaveToken(ctx, b))
	got, err := s.FindToken(ctx, "hb")
	must(t, err)
	wantSame(t, got, b)
	tokens, err := s.ListTokens(ctx)
	must(t, err)
	wantSame(t, tokens, []store.Token{a, b})
	_, err = s.FindToken(ctx, "hc")
	wantKind(t, err, fault.NotFound)

	c1 := store.CheckState{Name: "disk", Target: "db1", DueAt: at(1), Truth: string(expr.True)}
	c2 := store.CheckState{Name: "disk", Target: "db2"}
	must(t, s.SaveCheck(ctx, c2))
	must(t, s.SaveCheck(ctx, c1))
	c1.DueAt, c1.LastAt, c1.LastText, c1.JobID = at(61), at(1), "95 % used", "j1"
	must(t, s.SaveCheck(ctx, c1))
	checks, err := s.ListChecks(ctx)
	must(t, err)
	wantSame(t, checks, []store.CheckState{c1, c2})
}

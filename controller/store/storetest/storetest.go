// Package storetest is the conformance suite of the storage contract: what
// every engine behind controller/store must do, one file per aggregate. It is
// for tests only.
package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Place is somewhere a store can be opened, closed and opened again.
type Place func(t *testing.T) store.Store

// workers is how many goroutines fight where claims and locks are fought for.
const workers = 100

// Exercise runs the suite. fresh returns a new, empty place; the stores opened
// there are closed by the suite.
func Exercise(t *testing.T, fresh func(t *testing.T) Place) {
	t.Helper()
	groups := []struct {
		name string
		run  func(t *testing.T, fresh func(t *testing.T) Place)
	}{
		{"Bodies", bodies},
		{"Incidents", incidents},
		{"Lists", lists},
		{"Runs", runs},
		{"Claims", claims},
		{"Jobs", jobs},
		{"Locks", locks},
		{"Evidence", evidence},
		{"Agents", agents},
		{"TokensAndChecks", tokensAndChecks},
		{"Retention", retention},
		{"Updates", updates},
		{"Hostile", hostile},
		{"Reopen", reopen},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			g.run(t, fresh)
		})
	}
}

// opened is a store at a fresh place, closed at the end of the test.
func opened(t *testing.T, fresh func(t *testing.T) Place) store.Store {
	t.Helper()
	return openAt(t, fresh(t))
}

func openAt(t *testing.T, p Place) store.Store {
	t.Helper()
	s := p(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// at is a fixed time plus seconds; the stores have no clock.
func at(seconds int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if got := fault.KindOf(err); got != kind {
		t.Fatalf("error %v is of kind %q, want %q", err, got, kind)
	}
}

func wantSame(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func update(t *testing.T, s store.Store, fn func(tx store.Tx) error) {
	t.Helper()
	must(t, s.Update(t.Context(), fn))
}

// together runs fn in n goroutines that begin at the same moment.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-gate
			fn(i)
		})
	}
	close(gate)
	wg.Wait()
}

// newIncident is an incident that has not been stored.
func newIncident(id string) *incident.Incident {
	in := &incident.Incident{
		ID: id, Title: "disk full on " + id, Status: incident.New, Severity: incident.Critical, Entity: "host-" + id,
		Hints: map[string]string{"mount": "/var"}, OpenedAt: at(0), OnsetAt: at(-60), UpdatedAt: at(0),
		Symptoms: []incident.Symptom{{Identity: "fp-" + id, Source: "alertmanager", State: incident.Firing, Count: 1}},
		Tried:    []incident.Tried{}, Runs: []incident.Run{},
	}
	in.Note(at(0), "secondline", incident.EventOpened, "first_signal", "opened", nil)
	return in
}

func saved(t *testing.T, s store.Store, in *incident.Incident) *incident.Incident {
	t.Helper()
	update(t, s, func(tx store.Tx) error { return tx.SaveIncident(t.Context(), in) })
	return in
}

var errHalfWay = errors.New("half way")

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%04d", prefix, i)
	}
	return out
}

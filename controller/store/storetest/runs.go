package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/runbooks"
)

func runs(t *testing.T, fresh func(t *testing.T) Place) {
	t.Run("are listed newest first, by runbook and time", func(t *testing.T) { listRuns(t, opened(t, fresh)) })
	t.Run("follow their incident", func(t *testing.T) { followRuns(t, opened(t, fresh)) })
	t.Run("are listed at most so many", func(t *testing.T) { boundRuns(t, opened(t, fresh)) })
}

func rowIDs(list []store.RunRow) []string {
	out := []string{}
	for _, r := range list {
		out = append(out, r.ID)
	}
	return out
}

func wantRuns(t *testing.T, s store.Store, f store.RunFilter, want ...string) []store.RunRow {
	t.Helper()
	list, more, err := s.ListRuns(t.Context(), f)
	must(t, err)
	if want == nil {
		want = []string{}
	}
	wantSame(t, rowIDs(list), want)
	if more {
		t.Errorf("more than %d", len(want))
	}
	return list
}

func listRuns(t *testing.T, s store.Store) {
	wantRuns(t, s, store.RunFilter{})
	in := newIncident("a")
	hostile := "rota\x00te\xff\\"
	in.Runs = []incident.Run{
		{ID: "r1", Runbook: "rotate", Target: "web1", Status: runbooks.RunVerified, RequestedBy: "ada", AskedAt: at(1), StartedAt: at(2), EndedAt: at(30)},
		{ID: "r2", Runbook: hostile, Target: hostile, Status: runbooks.RunRunning, AskedAt: at(3), StartedAt: at(20)},
		{ID: "r3", Runbook: "rotate", Target: "web2", Status: runbooks.RunWaiting, AskedAt: at(10)},
	}
	saved(t, s, in)
	other := newIncident("b")
	other.UpdatedAt = at(25)
	other.Runs = []incident.Run{{ID: "r4", Runbook: "rotate", Target: "web1", Status: runbooks.RunPlanned, DryRun: true}}
	saved(t, s, other)
	saved(t, s, newIncident("c"))

	all := wantRuns(t, s, store.RunFilter{}, "r1", "r4", "r2", "r3")
	wantSame(t, all[0], store.RunRow{
		ID: "r1", Incident: "a", Number: in.Number, Runbook: "rotate", Target: "web1", Status: runbooks.RunVerified, RequestedBy: "ada",
		At: at(30), StartedAt: at(2), EndedAt: at(30),
	})
	wantSame(t, all[1], store.RunRow{ID: "r4", Incident: "b", Number: other.Number, Runbook: "rotate", Target: "web1", Status: runbooks.RunPlanned, DryRun: true, At: at(25)})
	wantRuns(t, s, store.RunFilter{Runbook: "rotate"}, "r1", "r4", "r3")
	wantRuns(t, s, store.RunFilter{Runbook: "rotate", Since: at(25)}, "r1", "r4")
	if got := wantRuns(t, s, store.RunFilter{Runbook: hostile}, "r2"); got[0].Runbook != hostile || got[0].Target != hostile {
		t.Errorf("hostile names came back as %q on %q", got[0].Runbook, got[0].Target)
	}
	wantRuns(t, s, store.RunFilter{Runbook: "rota"})
	wantRuns(t, s, store.RunFilter{Since: at(31)})
}

func followRuns(t *testing.T, s store.Store) {
	in := newIncident("a")
	in.Status = incident.Resolved
	in.ResolvedAt = at(60)
	in.Runs = []incident.Run{{ID: "r1", Runbook: "rotate", Status: runbooks.RunWaiting, AskedAt: at(1)}}
	saved(t, s, in)
	in.Runs[0].Status, in.Runs[0].EndedAt = runbooks.RunRejected, at(40)
	saved(t, s, in)
	list := wantRuns(t, s, store.RunFilter{}, "r1")
	if list[0].Status != runbooks.RunRejected || !list[0].At.Equal(at(40)) {
		t.Errorf("it is %+v", list[0])
	}
	// What was rolled back was never there.
	err := s.Update(t.Context(), func(tx store.Tx) error {
		in.Runs = append(in.Runs, incident.Run{ID: "r2", Runbook: "rotate"})
		must(t, tx.SaveIncident(t.Context(), in))
		return errHalfWay
	})
	if err == nil {
		t.Fatal("no error")
	}
	wantRuns(t, s, store.RunFilter{}, "r1")
	n, err := s.DeleteIncidents(t.Context(), at(100), 10)
	must(t, err)
	if n != 1 {
		t.Fatalf("%d deleted", n)
	}
	wantRuns(t, s, store.RunFilter{})
}

func boundRuns(t *testing.T, s store.Store) {
	in := newIncident("a")
	for i := range 30 {
		in.Runs = append(in.Runs, incident.Run{ID: fmt.Sprintf("r%02d", i), Runbook: "rotate", EndedAt: at(i), StartedAt: at(i).Add(-time.Second)})
	}
	saved(t, s, in)
	list, more, err := s.ListRuns(t.Context(), store.RunFilter{Limit: 2})
	must(t, err)
	wantSame(t, rowIDs(list), []string{"r29", "r28"})
	if !more {
		t.Error("there are more")
	}
	if list, more, err = s.ListRuns(t.Context(), store.RunFilter{Limit: 30}); err != nil || len(list) != 30 || more {
		t.Errorf("%d, more %t, %v", len(list), more, err)
	}
}

package storetest

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
)

func incidents(t *testing.T, fresh func(t *testing.T) Place) {
	t.Run("comes back as it was saved", func(t *testing.T) { roundTrip(t, opened(t, fresh)) })
	t.Run("a version that moved on refuses", func(t *testing.T) { versions(t, opened(t, fresh)) })
	t.Run("open ones are found by entity or identity", func(t *testing.T) { candidates(t, opened(t, fresh)) })
	t.Run("read, change and save at once loses nothing", func(t *testing.T) { contention(t, opened(t, fresh)) })
	t.Run("look and then open, at once, opens one", func(t *testing.T) { openOnce(t, opened(t, fresh)) })
	t.Run("numbers are given once", func(t *testing.T) { numbers(t, opened(t, fresh)) })
	t.Run("found by a run", func(t *testing.T) { byRun(t, opened(t, fresh)) })
}

func roundTrip(t *testing.T, s store.Store) {
	ctx := t.Context()
	in := newIncident("a")
	in.Diagnosis = &diagnostics.Diagnosis{Hypotheses: []diagnostics.Hypothesis{}, Unknown: true, NotLookedAt: []string{}, Subject: &diagnostics.Subject{
		Entity: entity.Entity{ID: "host-a", Kind: entity.Host, Budgets: []entity.Budget{{Path: "/srv", Bytes: 1 << 40, Delete: []string{"*.log"}}}},
		Hints:  map[string]string{"mount": "/var"}, Onset: at(-60),
	}}
	in.Note(at(1), "source:alertmanager", incident.EventSignal, "joined", "second alert", map[string]int{"n": 2})
	saved(t, s, in)
	if in.Version != 1 || in.Number != 1 || len(in.TakeEvents()) != 0 {
		t.Fatalf("after saving: version %d, number %d", in.Version, in.Number)
	}
	for _, ref := range []string{"a", "1"} {
		got, err := s.FindIncident(ctx, ref)
		must(t, err)
		if diff := cmp.Diff(in, got, cmpopts.IgnoreUnexported(incident.Incident{})); diff != "" {
			t.Fatalf("found by %q (-saved +found)\n%s", ref, diff)
		}
	}
	for _, ref := range []string{"nobody", "2", "0", "-1", "", "99999999999999999999"} {
		_, err := s.FindIncident(ctx, ref)
		wantKind(t, err, fault.NotFound)
	}
	events, err := s.ListEvents(ctx, "a", 0, 10)
	must(t, err)
	if len(events) != 2 || events[0].Seq != 1 || events[1].Actor != "source:alertmanager" || string(events[1].Data) != `{"n":2}` {
		t.Fatalf("events are %+v", events)
	}
	events, err = s.ListEvents(ctx, "a", 1, 10)
	must(t, err)
	if len(events) != 1 || events[0].Seq != 2 {
		t.Fatalf("events after 1 are %+v", events)
	}
	counts, err := s.CountIncidents(ctx)
	must(t, err)
	wantSame(t, counts, map[incident.Status]int{incident.New: 1})
}

func versions(t *testing.T, s store.Store) {
	ctx := t.Context()
	saved(t, s, newIncident("a"))
	mine, err := s.FindIncident(ctx, "a")
	must(t, err)
	theirs, err := s.FindIncident(ctx, "a")
	must(t, err)
	theirs.Note(at(2), "person:b", incident.EventNote, "", "theirs", nil)
	saved(t, s, theirs)
	mine.Note(at(2), "person:a", incident.EventNote, "", "mine", nil)
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.SaveIncident(ctx, mine) }), fault.Conflict)
	if mine.Version != 1 || len(mine.TakeEvents()) != 1 {
		t.Fatalf("a refused save changed the incident: version %d", mine.Version)
	}
	_ = mine.TakeEvents() // without events nothing else could collide
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.SaveIncident(ctx, mine) }), fault.Conflict)
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.SaveIncident(ctx, newIncident("a")) }), fault.Conflict)
	events, err := s.ListEvents(ctx, "a", 0, 10)
	must(t, err)
	if len(events) != 2 || events[1].Text != "theirs" {
		t.Fatalf("events are %+v", events)
	}
}

func candidates(t *testing.T, s store.Store) {
	ctx := t.Context()
	for i, status := range []incident.Status{incident.New, incident.Resolved, incident.Resolved, incident.Closed, incident.Escalated} {
		in := newIncident(fmt.Sprintf("i%d", i))
		in.Status, in.Entity, in.OpenedAt = status, "db1", at(i)
		in.Symptoms[0].Identity = "fp"
		if status == incident.Resolved {
			in.ResolvedAt = at(100 * i) // i1 at 100, i2 at 200
		}
		saved(t, s, in)
	}
	elsewhere := newIncident("x")
	elsewhere.Symptoms = append(elsewhere.Symptoms, incident.Symptom{Identity: "fp"}, incident.Symptom{Identity: "fp"})
	elsewhere.OpenedAt = at(50)
	saved(t, s, elsewhere)
	moved := newIncident("moved")
	moved.Symptoms[0].Identity = "fp"
	saved(t, s, moved)
	moved.Symptoms[0].Identity = "other"
	saved(t, s, moved)
	onUnit := newIncident("unit")
	onUnit.Entity, onUnit.Hints, onUnit.OpenedAt = "db1", map[string]string{"unit": "x.service", "alertname": "A"}, at(60)
	saved(t, s, onUnit)

	unit := incident.Object{Entity: "db1", Hint: "unit", Value: "x.service"}
	tests := []struct {
		name     string
		identity string
		object   incident.Object
		since    time.Time
		want     []string
	}{
		{"by identity", "fp", incident.Object{}, at(150), []string{"x", "i4", "i2", "i0"}},
		{"resolved at that very time", "fp", incident.Object{}, at(200), []string{"x", "i4", "i2", "i0"}},
		{"resolved before", "fp", incident.Object{}, at(201), []string{"x", "i4", "i0"}},
		{"an identity that it got later", "other", incident.Object{}, at(150), []string{"moved"}},
		{"by object", "", unit, at(150), []string{"unit"}},
		{"by either", "other", unit, at(150), []string{"unit", "moved"}},
		{"the same object elsewhere", "", incident.Object{Entity: "db2", Hint: "unit", Value: "x.service"}, at(150), []string{}},
		{"another object of the entity", "", incident.Object{Entity: "db1", Hint: "mount", Value: "x.service"}, at(150), []string{}},
		{"neither fits", "fp2", incident.Object{}, at(150), []string{}},
		{"nothing asked for", "", incident.Object{}, at(150), []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := []string{}
			var identities []string
			var objects []incident.Object
			if tt.identity != "" {
				identities = []string{"nobody's", tt.identity}
			}
			if tt.object != (incident.Object{}) {
				objects = []incident.Object{tt.object}
			}
			update(t, s, func(tx store.Tx) error {
				got = got[:0]
				list, err := tx.FindOpenIncidents(ctx, identities, objects, tt.since)
				for _, in := range list {
					got = append(got, in.ID)
				}
				return err
			})
			wantSame(t, got, tt.want)
		})
	}
}

func contention(t *testing.T, s store.Store) {
	ctx := t.Context()
	saved(t, s, newIncident("a"))
	const writers, times = 8, 5
	var done atomic.Int64
	together(writers, func(i int) {
		for range times {
			for { // a Conflict or a lost transaction is tried again, as the reconciler does
				err := s.Update(ctx, func(tx store.Tx) error {
					in, err := tx.FindIncident(ctx, "a")
					if err != nil {
						return err
					}
					in.Failures++
					in.Note(at(i), "secondline", incident.EventNote, "", "counted", nil)
					return tx.SaveIncident(ctx, in)
				})
				if err == nil {
					done.Add(1)
					break
				}
				if k := fault.KindOf(err); k != fault.Conflict && k != fault.Transient {
					t.Errorf("Update: %v", err)
					return
				}
			}
		}
	})
	in, err := s.FindIncident(ctx, "a")
	must(t, err)
	events, err := s.ListEvents(ctx, "a", 0, 1000)
	must(t, err)
	if in.Failures != writers*times || in.Version != 1+writers*times || len(events) != 1+writers*times {
		t.Fatalf("%d counted, version %d, %d events after %d updates", in.Failures, in.Version, len(events), done.Load())
	}
}

// openOnce is what correlation does: two signals of one fault that arrive at
// once must not both find no incident and open one each.
func openOnce(t *testing.T, s store.Store) {
	ctx := t.Context()
	var fired atomic.Int64
	together(20, func(i int) {
		for {
			err := s.Update(ctx, func(tx store.Tx) error {
				open, err := tx.FindOpenIncidents(ctx, []string{"fp"}, nil, at(0))
				if err != nil || len(open) > 0 {
					return err
				}
				in := newIncident(fmt.Sprintf("o%02d", i))
				in.Entity, in.Symptoms[0].Identity = "db1", "fp"
				in.Number = int64(1000 + i) // not the shared counter: it would make them wait for each other
				return tx.SaveIncident(ctx, in)
			})
			if err == nil {
				fired.Add(1)
				return
			}
			if k := fault.KindOf(err); k != fault.Conflict && k != fault.Transient {
				t.Errorf("Update: %v", err)
				return
			}
		}
	})
	list, _, err := s.ListIncidents(ctx, store.IncidentFilter{})
	must(t, err)
	if len(list) != 1 || fired.Load() != 20 {
		t.Fatalf("%d incidents were opened by %d signals", len(list), fired.Load())
	}
}

func numbers(t *testing.T, s store.Store) {
	ctx := t.Context()
	together(20, func(i int) {
		in := newIncident(fmt.Sprintf("n%02d", i))
		if err := s.Update(ctx, func(tx store.Tx) error { return tx.SaveIncident(ctx, in) }); err != nil {
			t.Errorf("Update: %v", err)
		}
	})
	_ = s.Update(ctx, func(tx store.Tx) error {
		if err := tx.SaveIncident(ctx, newIncident("undone")); err != nil {
			return err
		}
		return errHalfWay
	})
	list, _, err := s.ListIncidents(ctx, store.IncidentFilter{Limit: 100})
	must(t, err)
	for i, in := range list {
		if in.Number != int64(len(list)-i) {
			t.Fatalf("place %d of %d has number %d", i, len(list), in.Number)
		}
	}
	if last := saved(t, s, newIncident("last")); last.Number != 21 {
		t.Fatalf("the number after an undone incident is %d, want 21", last.Number)
	}
}

func byRun(t *testing.T, s store.Store) {
	ctx := t.Context()
	in := newIncident("a")
	in.Runs = []incident.Run{{ID: "run-1"}, {ID: "run-2"}}
	saved(t, s, in)
	saved(t, s, newIncident("b"))
	got, err := s.FindIncidentByRun(ctx, "run-2")
	must(t, err)
	if got.ID != "a" || len(got.Runs) != 2 {
		t.Fatalf("found %s", got.ID)
	}
	for _, id := range []string{"run-3", "fp-a", ""} { // an identity is no run
		_, err = s.FindIncidentByRun(ctx, id)
		wantKind(t, err, fault.NotFound)
	}
}

func lists(t *testing.T, fresh func(t *testing.T) Place) {
	s, ctx := opened(t, fresh), t.Context()
	for i := range 25 {
		in := newIncident(fmt.Sprintf("l%02d", i))
		in.Title = fmt.Sprintf("100%% of C:\\DATA_%d is ÄRGER", i)
		if i%2 == 1 {
			in.Status, in.Entity = incident.Escalated, "db1"
		}
		saved(t, s, in)
	}
	pages := func(f store.IncidentFilter, between func()) (got []string) {
		for range 100 {
			list, next, err := s.ListIncidents(ctx, f)
			must(t, err)
			for _, in := range list {
				got = append(got, in.ID)
			}
			if next == "" {
				return got
			}
			f.Cursor = next
			between()
		}
		t.Fatal("the list does not end")
		return nil
	}
	extra := 0
	got := pages(store.IncidentFilter{Limit: 7}, func() {
		extra++
		saved(t, s, newIncident(fmt.Sprintf("new%d", extra)))
	})
	if len(got) != 25 || got[0] != "l24" || got[24] != "l00" {
		t.Fatalf("paging while incidents arrive gave %v", got)
	}
	exact := pages(store.IncidentFilter{Limit: 4, Status: []incident.Status{incident.Escalated}, Entity: "db1"}, func() {})
	if len(exact) != 12 {
		t.Fatalf("filtered by status and entity: %v", exact)
	}
	for query, want := range map[string]int{"ärger": 25, `c:\data_3 `: 1, "_": 25, "%": 25, "100% OF": 25, "_2_": 0, "nothing": 0, "disk": extra} {
		if got := len(pages(store.IncidentFilter{Query: query}, func() {})); got != want {
			t.Errorf("query %q finds %d, want %d", query, got, want)
		}
	}
	for _, bad := range []string{"x", "!!", "eyJhIjoi"} {
		_, _, err := s.ListIncidents(ctx, store.IncidentFilter{Cursor: bad})
		wantKind(t, err, fault.Invalid)
		_, _, err = s.ListSignals(ctx, store.SignalFilter{Cursor: bad})
		wantKind(t, err, fault.Invalid)
	}
	t.Run("dry runs", func(t *testing.T) { dryRuns(t, s) })
	t.Run("signals", func(t *testing.T) { signals(t, s) })
}

// dryRuns are left out on request, until something real is done in their place.
func dryRuns(t *testing.T, s store.Store) {
	ctx := t.Context()
	in := newIncident("dry")
	in.Symptoms, in.Entity = nil, "dry-host"
	in.Runs = []incident.Run{{ID: "run-dry", DryRun: true}}
	saved(t, s, in)
	count := func(omit bool) int {
		t.Helper()
		list, _, err := s.ListIncidents(ctx, store.IncidentFilter{Entity: "dry-host", OmitDryRuns: omit})
		must(t, err)
		return len(list)
	}
	if all, rest := count(false), count(true); all != 1 || rest != 0 {
		t.Errorf("%d in all, %d without dry runs; want 1 and 0", all, rest)
	}
	in.Runs = append(in.Runs, incident.Run{ID: "run-real"})
	saved(t, s, in)
	if rest := count(true); rest != 1 {
		t.Error("a real run is left out with the dry one before it")
	}
}

func signals(t *testing.T, s store.Store) {
	ctx := t.Context()
	all := make([]incident.Signal, 0, 1200)
	for i, id := range ids("s", 1200) {
		all = append(all, incident.Signal{
			ID: id, Source: "alertmanager", Kind: incident.Alert, State: incident.Firing, Title: "t",
			Labels: map[string]string{"alertname": "A"}, Annotations: map[string]string{}, Resources: []incident.Resource{},
			Links: []string{}, Identity: "fp", ReceivedAt: at(i / 10), // ten of the same moment
		})
	}
	update(t, s, func(tx store.Tx) error { return tx.SaveSignals(ctx, all) })
	again := all[7]
	again.IncidentID, again.Action, again.Source = "inc-1", incident.DeedJoined, "grafana"
	update(t, s, func(tx store.Tx) error { return tx.SaveSignals(ctx, []incident.Signal{all[7], again}) })
	update(t, s, func(tx store.Tx) error { return tx.SaveSignals(ctx, nil) })
	got, err := s.FindSignal(ctx, all[7].ID)
	must(t, err)
	wantSame(t, got, again)
	_, err = s.FindSignal(ctx, "nobody")
	wantKind(t, err, fault.NotFound)

	seen := map[string]bool{}
	f := store.SignalFilter{Source: "alertmanager", Limit: 47}
	for {
		list, next, err := s.ListSignals(ctx, f)
		must(t, err)
		for _, sig := range list {
			if seen[sig.ID] {
				t.Fatalf("signal %s came twice", sig.ID)
			}
			seen[sig.ID] = true
		}
		if f.Cursor = next; next == "" {
			break
		}
		late := all[0] // arrives while someone pages
		late.ID, late.ReceivedAt = fmt.Sprintf("late%d", len(seen)), at(5000)
		update(t, s, func(tx store.Tx) error { return tx.SaveSignals(ctx, []incident.Signal{late}) })
	}
	if len(seen) != 1199 {
		t.Fatalf("paging found %d signals, want 1199", len(seen))
	}
	list, _, err := s.ListSignals(ctx, store.SignalFilter{Incident: "inc-1"})
	must(t, err)
	raw, _ := json.Marshal(list)
	if len(list) != 1 || list[0].ID != again.ID {
		t.Fatalf("signals of the incident are %s", raw)
	}
}

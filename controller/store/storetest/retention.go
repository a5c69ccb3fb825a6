package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

func retention(t *testing.T, fresh func(t *testing.T) Place) {
	t.Run("an incident that is over goes with all that is its own", func(t *testing.T) { wholeIncident(t, opened(t, fresh)) })
	t.Run("an open one stays however old", func(t *testing.T) { openStay(t, opened(t, fresh)) })
	t.Run("one that was opened again stays", func(t *testing.T) { reopenedStays(t, opened(t, fresh)) })
	t.Run("one whose work has not ended stays", func(t *testing.T) { workStays(t, opened(t, fresh)) })
	t.Run("those that ended first go first", func(t *testing.T) { batches(t, opened(t, fresh)) })
	t.Run("what is cited meanwhile stays", func(t *testing.T) { citedMeanwhile(t, opened(t, fresh)) })
	t.Run("opened again and deleted at once is one of the two", func(t *testing.T) { openedMeanwhile(t, opened(t, fresh)) })
	t.Run("jobs of no incident", func(t *testing.T) { ownJobs(t, opened(t, fresh)) })
	t.Run("signals of no incident", func(t *testing.T) { strayedSignals(t, opened(t, fresh)) })
	t.Run("tokens", func(t *testing.T) { oldTokens(t, opened(t, fresh)) })
}

// over is an incident that was resolved at the second.
func over(id string, second int) *incident.Incident {
	in := newIncident(id)
	in.Status, in.ResolvedAt = incident.Resolved, at(second)
	return in
}

// whole stores the incident with a signal, facts, a run and a job that ended.
func whole(t *testing.T, s store.Store, in *incident.Incident, facts ...diagnostics.Fact) {
	t.Helper()
	ctx := t.Context()
	in.Runs = []incident.Run{{ID: "run-" + in.ID, Status: runbooks.RunVerified}}
	update(t, s, func(tx store.Tx) error {
		if _, err := tx.Enqueue(ctx, store.Job{ID: "j-" + in.ID, Queue: "agent:a", Key: "k-" + in.ID, Incident: in.ID, RunAt: at(1), Deadline: at(5)}); err != nil {
			return err
		}
		if _, err := tx.FinishJob(ctx, "j-"+in.ID, 0, store.JobDone, nil, at(2)); err != nil {
			return err
		}
		if err := tx.SaveSignals(ctx, []incident.Signal{{ID: "s-" + in.ID, IncidentID: in.ID, ReceivedAt: at(1)}}); err != nil {
			return err
		}
		if err := tx.SaveEvidence(ctx, in.ID, facts); err != nil {
			return err
		}
		return tx.SaveIncident(ctx, in)
	})
}

func deleteIncidents(t *testing.T, s store.Store, before time.Time, limit, want int) {
	t.Helper()
	n, err := s.DeleteIncidents(t.Context(), before, limit)
	must(t, err)
	if n != want {
		t.Fatalf("deleted %d incidents, want %d", n, want)
	}
}

func wantIncidents(t *testing.T, s store.Store, want string) {
	t.Helper()
	list, _, err := s.ListIncidents(t.Context(), store.IncidentFilter{Limit: 500})
	must(t, err)
	var got strings.Builder
	for _, in := range list {
		got.WriteString(in.ID + " ")
	}
	if strings.TrimSpace(got.String()) != want {
		t.Fatalf("left are %q, want %q", got.String(), want)
	}
}

func wholeIncident(t *testing.T, s store.Store) {
	ctx := t.Context()
	own, shared := fact("own#1", []byte("own")), fact("shared#1", []byte("shared"))
	cited := fact("cited#1", []byte("shared")) // by its digest alone
	cited.Raws[0].Data = nil
	whole(t, s, over("old\x00", 100), own, shared) // its id is stored escaped
	whole(t, s, over("kept", 101), cited)
	deleteIncidents(t, s, at(100), 10, 0) // it ended at that very time
	deleteIncidents(t, s, at(101), 10, 1)
	wantIncidents(t, s, "kept")

	for _, ref := range []string{"old\x00", "1"} {
		_, err := s.FindIncident(ctx, ref)
		wantKind(t, err, fault.NotFound)
	}
	_, err := s.FindIncidentByRun(ctx, "run-old\x00")
	wantKind(t, err, fault.NotFound)
	_, err = s.FindSignal(ctx, "s-old\x00")
	wantKind(t, err, fault.NotFound)
	_, err = s.FindJob(ctx, "j-old\x00")
	wantKind(t, err, fault.NotFound)
	_, err = s.FindRaw(ctx, own.Raws[0].SHA256)
	wantKind(t, err, fault.NotFound)
	events, err := s.ListEvents(ctx, "old\x00", 0, 10)
	must(t, err)
	facts, err := s.ListFacts(ctx, "old\x00")
	must(t, err)
	if len(events)+len(facts) != 0 {
		t.Fatalf("%d events and %d facts are left", len(events), len(facts))
	}

	_, err = s.FindRaw(ctx, shared.Raws[0].SHA256)
	must(t, err)
	_, err = s.FindIncidentByRun(ctx, "run-kept")
	must(t, err)
	_, err = s.FindSignal(ctx, "s-kept")
	must(t, err)
	_, err = s.FindJob(ctx, "j-kept")
	must(t, err)
	events, err = s.ListEvents(ctx, "kept", 0, 10)
	must(t, err)
	facts, err = s.ListFacts(ctx, "kept")
	must(t, err)
	if len(events) != 1 || len(facts) != 1 {
		t.Fatalf("of what is kept %d events and %d facts are left", len(events), len(facts))
	}

	deleteIncidents(t, s, at(999), 10, 1) // the last that cites it takes it along
	_, err = s.FindRaw(ctx, shared.Raws[0].SHA256)
	wantKind(t, err, fault.NotFound)
	if next := saved(t, s, newIncident("next")); next.Number != 3 {
		t.Fatalf("the next incident has number %d: those of deleted ones are not given again", next.Number)
	}
}

func openStay(t *testing.T, s store.Store) {
	ended := 0
	for _, status := range incident.Statuses() {
		in := newIncident(string(status))
		in.Status = status
		if status.Open() {
			in.ResolvedAt = at(1) // a column left behind must not end it
		} else {
			ended++ // without a resolution it is over since its last event
		}
		saved(t, s, in)
	}
	deleteIncidents(t, s, at(0), 100, 0)
	deleteIncidents(t, s, at(1), 100, ended)
	deleteIncidents(t, s, at(1<<30), 100, 0)
	list, _, err := s.ListIncidents(t.Context(), store.IncidentFilter{Limit: 100})
	must(t, err)
	if len(list) != len(incident.Statuses())-ended {
		t.Fatalf("%d incidents are left", len(list))
	}
	for _, in := range list {
		if !in.Status.Open() {
			t.Errorf("a %s incident is left", in.Status)
		}
	}
}

func reopenedStays(t *testing.T, s store.Store) {
	in := over("a", 10)
	saved(t, s, in)
	in.Status, in.ResolvedAt = incident.Diagnosing, time.Time{}
	saved(t, s, in)
	deleteIncidents(t, s, at(1000), 10, 0)
	in.Status, in.ResolvedAt = incident.Resolved, at(500)
	saved(t, s, in)
	in.Status = incident.Closed
	in.Note(at(900), "person:ada", incident.EventNote, "", "seen", nil) // a late note does not prolong it
	saved(t, s, in)
	deleteIncidents(t, s, at(500), 10, 0)
	deleteIncidents(t, s, at(501), 10, 1)
}

func workStays(t *testing.T, s store.Store) {
	ctx := t.Context()
	add := func(id, queue string, deadline time.Time) {
		saved(t, s, over(id, 10))
		update(t, s, func(tx store.Tx) error {
			_, err := tx.Enqueue(ctx, store.Job{ID: "j-" + id, Queue: queue, Key: "j-" + id, Incident: id, RunAt: at(1), Deadline: deadline})
			return err
		})
	}
	add("message", "notify", time.Time{})
	add("running", "q", at(2000))
	add("given-up", "q", at(50)) // no agent begins it any more
	_, err := s.ClaimJobs(ctx, "q", "agent", at(5), at(60), 10)
	must(t, err)
	deleteIncidents(t, s, at(1000), 10, 1)
	wantIncidents(t, s, "running message")
	_, err = s.FindJob(ctx, "j-given-up")
	wantKind(t, err, fault.NotFound)
	update(t, s, func(tx store.Tx) error {
		_, err := tx.FinishJob(ctx, "j-message", 1, store.JobDone, nil, at(900))
		return err
	})
	deleteIncidents(t, s, at(1000), 10, 1)
	wantIncidents(t, s, "running")
}

func batches(t *testing.T, s store.Store) {
	for i, id := range ids("i", 120) {
		saved(t, s, over(id, 1000-i))
	}
	deleteIncidents(t, s, at(10000), 2, 2)
	_, err := s.FindIncident(t.Context(), "i0118")
	wantKind(t, err, fault.NotFound)
	_, err = s.FindIncident(t.Context(), "i0000")
	must(t, err)
	deleteIncidents(t, s, at(10000), 0, 20)
	deleteIncidents(t, s, at(10000), 1000, 98)
	deleteIncidents(t, s, at(10000), 1000, 0)
}

// citedMeanwhile has incidents that cite one raw output come and go at the same
// time: those that are left have its bytes.
func citedMeanwhile(t *testing.T, s store.Store) {
	ctx := t.Context()
	same := func() diagnostics.Fact { return fact("same#1", []byte("the same everywhere")) }
	for round := range 5 {
		for _, id := range ids(fmt.Sprintf("old%d-", round), 4) {
			whole(t, s, over(id, 10), same())
		}
		together(12, func(i int) {
			if i%3 == 0 {
				if _, err := s.DeleteIncidents(ctx, at(20), 2); err != nil {
					t.Errorf("DeleteIncidents: %v", err)
				}
				return
			}
			in := newIncident(fmt.Sprintf("new%d-%d", round, i))
			err := s.Update(ctx, func(tx store.Tx) error {
				if err := tx.SaveIncident(ctx, in); err != nil {
					return err
				}
				return tx.SaveEvidence(ctx, in.ID, []diagnostics.Fact{same()})
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		})
		if _, err := s.FindRaw(ctx, same().Raws[0].SHA256); err != nil {
			t.Fatalf("round %d: incidents cite it, and: %v", round, err)
		}
		list, _, err := s.ListIncidents(ctx, store.IncidentFilter{Limit: 500, Status: []incident.Status{incident.New}})
		must(t, err)
		for _, in := range list { // the next round begins without
			in.Status, in.ResolvedAt = incident.Resolved, at(10)
			saved(t, s, in)
		}
		for n := 1; n > 0; {
			n, err = s.DeleteIncidents(ctx, at(20), 100)
			must(t, err)
		}
		_, err = s.FindRaw(ctx, same().Raws[0].SHA256)
		wantKind(t, err, fault.NotFound)
	}
}

// openedMeanwhile has a signal bring incidents back while they are deleted:
// either it is open with all its events, or it is gone with all of them.
func openedMeanwhile(t *testing.T, s store.Store) {
	ctx := t.Context()
	all := ids("i", 20)
	for _, id := range all {
		whole(t, s, over(id, 10), fact("p#1", []byte(id)))
	}
	opened := make([]bool, len(all))
	together(2*len(all), func(i int) {
		if i >= len(all) {
			if _, err := s.DeleteIncidents(ctx, at(20), 1); err != nil {
				t.Errorf("DeleteIncidents: %v", err)
			}
			return
		}
		err := s.Update(ctx, func(tx store.Tx) error {
			in, err := tx.FindIncident(ctx, all[i])
			if err != nil {
				return err
			}
			in.Status, in.ResolvedAt = incident.Diagnosing, time.Time{}
			in.Note(at(15), "secondline", incident.EventStatus, "", "back", nil)
			return tx.SaveIncident(ctx, in)
		})
		opened[i] = err == nil
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict) {
			t.Errorf("Update: %v", err)
		}
	})
	for i, id := range all {
		in, err := s.FindIncident(ctx, id)
		events, eerr := s.ListEvents(ctx, id, 0, 10)
		must(t, eerr)
		switch {
		case opened[i] && (err != nil || !in.Status.Open() || len(events) != 2):
			t.Errorf("%s was opened again and is lost: %v, %d events", id, err, len(events))
		case err != nil && len(events) != 0:
			t.Errorf("%s is gone, and %d of its events are left", id, len(events))
		}
	}
}

func ownJobs(t *testing.T, s store.Store) {
	ctx := t.Context()
	for _, j := range []store.Job{
		{ID: "waits", Deadline: at(1)},
		{ID: "running", Queue: "agent:b", Deadline: at(1)},
		{ID: "ended"},
		{ID: "late"},
		{ID: "of-an-incident", Incident: "inc"},
	} {
		j.Key = j.ID
		update(t, s, func(tx store.Tx) error {
			_, err := tx.Enqueue(ctx, j)
			return err
		})
	}
	_, err := s.ClaimJobs(ctx, "agent:b", "b", at(1), at(2), 1)
	must(t, err)
	for id, second := range map[string]int{"ended": 10, "late": 20, "of-an-incident": 10} {
		update(t, s, func(tx store.Tx) error {
			_, err := tx.FinishJob(ctx, id, 0, store.JobFailed, nil, at(second))
			return err
		})
	}
	for _, try := range []struct {
		before, want int
	}{{10, 0}, {11, 1}, {20, 0}} {
		n, err := s.DeleteJobs(ctx, at(try.before), 10)
		must(t, err)
		if n != try.want {
			t.Fatalf("before %d: deleted %d jobs, want %d", try.before, n, try.want)
		}
	}
	_, err = s.FindJob(ctx, "ended")
	wantKind(t, err, fault.NotFound)
	n, err := s.DeleteJobs(ctx, at(1<<30), 10)
	must(t, err)
	if n != 1 {
		t.Fatalf("deleted %d jobs, want the late one", n)
	}
	for _, id := range []string{"waits", "running", "of-an-incident"} {
		_, err = s.FindJob(ctx, id)
		must(t, err)
	}
}

func strayedSignals(t *testing.T, s store.Store) {
	ctx := t.Context()
	update(t, s, func(tx store.Tx) error {
		return tx.SaveSignals(ctx, []incident.Signal{
			{ID: "a", ReceivedAt: at(1)}, {ID: "b", ReceivedAt: at(2)}, {ID: "c", ReceivedAt: at(3)}, {ID: "joined", ReceivedAt: at(1), IncidentID: "inc"},
		})
	})
	for _, try := range []struct{ before, limit, want int }{{1, 10, 0}, {3, 1, 1}, {3, 10, 1}, {3, 10, 0}} {
		n, err := s.DeleteSignals(ctx, at(try.before), try.limit)
		must(t, err)
		if n != try.want {
			t.Fatalf("%+v: deleted %d signals", try, n)
		}
	}
	for _, id := range []string{"c", "joined"} {
		_, err := s.FindSignal(ctx, id)
		must(t, err)
	}
	_, err := s.FindSignal(ctx, "b")
	wantKind(t, err, fault.NotFound)
}

func oldTokens(t *testing.T, s store.Store) {
	ctx := t.Context()
	for _, token := range []store.Token{
		{Hash: "for-ever"},
		{Hash: "revoked", RevokedAt: at(1)},
		{Hash: "session", Parent: "for-ever", ExpiresAt: at(10)},
		{Hash: "later", ExpiresAt: at(20)},
		{Hash: "prolonged", ExpiresAt: at(5)},
	} {
		must(t, s.SaveToken(ctx, token))
	}
	must(t, s.SaveToken(ctx, store.Token{Hash: "prolonged", ExpiresAt: at(30)}))
	must(t, s.AddEnrolToken(ctx, "used", "web1", at(500)))
	_, err := s.UseEnrolToken(ctx, "used", at(1))
	must(t, err)
	must(t, s.AddEnrolToken(ctx, "expired", "web1", at(10)))
	must(t, s.AddEnrolToken(ctx, "waits", "web1", at(500)))

	for _, try := range []struct{ before, limit, want int }{{10, 10, 1}, {11, 10, 2}, {21, 10, 1}, {21, 10, 0}} {
		n, err := s.DeleteTokens(ctx, at(try.before), try.limit)
		must(t, err)
		if n != try.want {
			t.Fatalf("%+v: deleted %d tokens", try, n)
		}
	}
	left, err := s.ListTokens(ctx)
	must(t, err)
	var names []string
	for _, token := range left {
		names = append(names, token.Hash)
	}
	wantSame(t, names, []string{"for-ever", "prolonged", "revoked"})
	_, err = s.UseEnrolToken(ctx, "waits", at(100))
	must(t, err)
	must(t, s.AddEnrolToken(ctx, "expired", "web1", at(900))) // it is really gone
}

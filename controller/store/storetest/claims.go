package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// tally counts who got what.
type tally struct {
	mu  sync.Mutex // guards below
	got map[string]int
}

func (c *tally) add(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.got == nil {
		c.got = map[string]int{}
	}
	c.got[id]++
}

func (c *tally) wantEachOnce(t *testing.T, n int) {
	t.Helper()
	for id, times := range c.got {
		if times != 1 {
			t.Errorf("%s was given to %d", id, times)
		}
	}
	if len(c.got) != n {
		t.Errorf("%d of %d were given", len(c.got), n)
	}
}

func claims(t *testing.T, fresh func(t *testing.T) Place) {
	t.Run("incidents", func(t *testing.T) { claimIncidents(t, opened(t, fresh)) })
	t.Run("incidents by a hundred at once", func(t *testing.T) {
		s, ctx := opened(t, fresh), t.Context()
		update(t, s, func(tx store.Tx) error {
			for _, id := range ids("i", 250) {
				in := newIncident(id)
				in.DueAt = at(1)
				if err := tx.SaveIncident(ctx, in); err != nil {
					return err
				}
			}
			return nil
		})
		var c tally
		together(workers, func(i int) {
			for {
				list, err := s.ClaimIncidents(ctx, fmt.Sprintf("c%d", i), at(2), at(60), 3)
				if err != nil {
					t.Errorf("ClaimIncidents: %v", err)
				}
				if len(list) == 0 {
					return
				}
				for _, id := range list {
					c.add(id)
				}
			}
		})
		c.wantEachOnce(t, 250)
	})
	t.Run("jobs by a hundred at once", func(t *testing.T) {
		s, ctx := opened(t, fresh), t.Context()
		update(t, s, func(tx store.Tx) error {
			for _, id := range ids("j", 250) {
				if _, err := tx.Enqueue(ctx, store.Job{ID: id, Queue: "notify", RunAt: at(1)}); err != nil {
					return err
				}
			}
			return nil
		})
		var c tally
		together(workers, func(i int) {
			for {
				list, err := s.ClaimJobs(ctx, "notify", fmt.Sprintf("c%d", i), at(2), at(60), 3)
				if err != nil {
					t.Errorf("ClaimJobs: %v", err)
				}
				if len(list) == 0 {
					return
				}
				for _, j := range list {
					c.add(j.ID)
				}
			}
		})
		c.wantEachOnce(t, 250)
	})
}

func claimIncidents(t *testing.T, s store.Store) {
	ctx := t.Context()
	for i, id := range []string{"late", "early", "future", "never"} {
		in := newIncident(id)
		switch id {
		case "late":
			in.DueAt = at(20)
		case "early":
			in.DueAt = at(10)
		case "future":
			in.DueAt = at(1000 + i)
		}
		saved(t, s, in)
	}

	claim := func(owner string, now int) []string {
		t.Helper()
		got, err := s.ClaimIncidents(ctx, owner, at(now), at(now+30), 10)
		must(t, err)
		return got
	}
	wantSame(t, claim("one", 20), []string{"early", "late"})
	wantSame(t, claim("two", 21), []string{})
	wantSame(t, claim("one", 21), []string{})                // nor another worker of the same owner
	wantSame(t, claim("two", 50), []string{"early", "late"}) // the lease of one has lapsed
	must(t, s.ReleaseLeases(ctx, "two"))
	wantSame(t, claim("one", 51), []string{"early", "late"})
	in, err := s.FindIncident(ctx, "early")
	must(t, err)
	if in.Version != 1 {
		t.Fatalf("a claim changed the version to %d", in.Version)
	}
	must(t, in.Become(incident.Diagnosing, at(52), "secondline", "first_look", "looking"))
	saved(t, s, in) // ends the lease, still due
	wantSame(t, claim("two", 53), []string{"early"})
}

func jobs(t *testing.T, fresh func(t *testing.T) Place) {
	t.Run("added once by key", func(t *testing.T) { enqueue(t, opened(t, fresh)) })
	t.Run("leases and fences", func(t *testing.T) { fences(t, opened(t, fresh)) })
	t.Run("a clock that went back", func(t *testing.T) { pullForward(t, opened(t, fresh)) })
	t.Run("counts", func(t *testing.T) { countJobs(t, opened(t, fresh)) })
}

func enqueue(t *testing.T, s store.Store) {
	ctx := t.Context()
	want := store.Job{
		ID: "j1", Queue: "agent:a", Kind: "diagnose", Key: "k", Incident: "inc", Payload: []byte{0, 1, 0xff},
		State: store.JobQueued, RunAt: at(1), Deadline: at(100), CreatedAt: at(0),
	}
	add := func(j store.Job) (added bool) {
		update(t, s, func(tx store.Tx) (err error) {
			added, err = tx.Enqueue(ctx, j)
			return err
		})
		return added
	}
	if !add(want) {
		t.Fatal("the first was not added")
	}
	second := want
	second.ID, second.Queue = "j2", "agent:b"
	if add(second) || add(want) {
		t.Fatal("the same key was added twice")
	}
	got, err := s.FindJob(ctx, "j1")
	must(t, err)
	wantSame(t, got, want)
	_, err = s.FindJob(ctx, "j2")
	wantKind(t, err, fault.NotFound)
	other := want
	other.Key = "another"
	wantKind(t, s.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Enqueue(ctx, other)
		return err
	}), fault.Conflict)
	if !add(store.Job{ID: "n1"}) || !add(store.Job{ID: "n2"}) {
		t.Fatal("jobs without a key are not the same work")
	}
	var c tally
	together(20, func(i int) {
		if err := s.Update(ctx, func(tx store.Tx) error {
			_, err := tx.Enqueue(ctx, store.Job{ID: fmt.Sprintf("r%d", i), Key: "race"})
			return err
		}); err != nil {
			t.Errorf("Enqueue: %v", err)
		}
		if _, err := s.FindJob(ctx, fmt.Sprintf("r%d", i)); err == nil {
			c.add("race")
		}
	})
	c.wantEachOnce(t, 1)
}

func fences(t *testing.T, s store.Store) {
	ctx := t.Context()
	update(t, s, func(tx store.Tx) error {
		_, err := tx.Enqueue(ctx, store.Job{ID: "j", Queue: "agent:a", RunAt: at(10)})
		return err
	})
	claim := func(queue, owner string, now int) []store.Job {
		t.Helper()
		got, err := s.ClaimJobs(ctx, queue, owner, at(now), at(now+30), 10)
		must(t, err)
		return got
	}
	if len(claim("agent:a", "x", 9))+len(claim("agent:b", "x", 10))+len(claim("agent", "x", 10)) != 0 {
		t.Fatal("claimed before its time or from another queue")
	}
	got := claim("agent:a", "one", 10)
	if len(got) != 1 || got[0].Fence != 1 || got[0].Attempts != 1 || got[0].State != store.JobLeased || !got[0].LeaseUntil.Equal(at(40)) {
		t.Fatalf("claimed %+v", got)
	}
	if len(claim("agent:a", "one", 39)) != 0 {
		t.Fatal("a leased job was claimed")
	}
	must(t, s.RenewLease(ctx, "j", "one", 1, at(60)))
	wantKind(t, s.RenewLease(ctx, "j", "two", 1, at(90)), fault.Conflict)
	wantKind(t, s.RenewLease(ctx, "j", "one", 2, at(90)), fault.Conflict)
	wantKind(t, s.RenewLease(ctx, "nobody", "one", 1, at(90)), fault.NotFound)
	if len(claim("agent:a", "two", 59)) != 0 {
		t.Fatal("the renewed lease did not hold")
	}
	if got = claim("agent:a", "two", 60); len(got) != 1 || got[0].Fence != 2 || got[0].Attempts != 2 {
		t.Fatalf("after the lease lapsed: %+v", got)
	}
	finish := func(fence int64, state store.JobState) (ended bool, err error) {
		err = s.Update(ctx, func(tx store.Tx) (err error) {
			ended, err = tx.FinishJob(ctx, "j", fence, state, []byte("r"), at(61))
			return err
		})
		return ended, err
	}
	_, err := finish(1, store.JobDone)
	wantKind(t, err, fault.Conflict)
	wantKind(t, s.RetryJob(ctx, "j", 1, at(70), "late"), fault.Conflict)
	must(t, s.RetryJob(ctx, "j", 2, at(70), "could not"))
	j, err := s.FindJob(ctx, "j")
	must(t, err)
	if j.State != store.JobQueued || j.LastError != "could not" || j.LeaseOwner != "" || !j.LeaseUntil.IsZero() || j.Fence != 2 {
		t.Fatalf("after a retry: %+v", j)
	}
	if got = claim("agent:a", "three", 70); len(got) != 1 || got[0].Fence != 3 {
		t.Fatalf("after a retry: %+v", got)
	}
	turn := func(do func(tx store.Tx) error) error { return s.Update(ctx, do) }
	must(t, turn(func(tx store.Tx) error { return tx.PauseJob(ctx, "j") }))
	wantKind(t, turn(func(tx store.Tx) error { return tx.PauseJob(ctx, "j") }), fault.Conflict)
	wantKind(t, s.RenewLease(ctx, "j", "three", 3, at(99)), fault.Conflict)
	if len(claim("agent:a", "four", 70)) != 0 {
		t.Fatal("a paused job was claimed")
	}
	must(t, s.PullForward(ctx, at(70), at(70)))
	if len(claim("agent:a", "four", 70)) != 0 {
		t.Fatal("a paused job was claimed after the clock was put right")
	}
	must(t, turn(func(tx store.Tx) error { return tx.ResumeJob(ctx, "j", at(70)) }))
	wantKind(t, turn(func(tx store.Tx) error { return tx.ResumeJob(ctx, "j", at(70)) }), fault.Conflict)
	if got = claim("agent:a", "three", 70); len(got) != 1 || got[0].Fence != 4 {
		t.Fatalf("after a pause: %+v", got)
	}
	must(t, s.ReleaseLeases(ctx, "two"))
	if len(claim("agent:a", "four", 71)) != 0 {
		t.Fatal("releasing the leases of another took this one")
	}
	must(t, s.ReleaseLeases(ctx, "three"))
	if got = claim("agent:a", "four", 71); len(got) != 1 || got[0].Fence != 5 {
		t.Fatalf("after a release: %+v", got)
	}
	_, err = finish(5, store.JobLeased)
	wantKind(t, err, fault.Invalid)
	for i, want := range []bool{true, false, false} {
		ended, err := finish(5, store.JobDone)
		must(t, err)
		if ended != want {
			t.Fatalf("finishing for the %d. time reports %v", i+1, ended)
		}
	}
	_, err = finish(3, store.JobFailed)
	wantKind(t, err, fault.Conflict)
	j, err = s.FindJob(ctx, "j")
	must(t, err)
	if j.State != store.JobDone || !j.EndedAt.Equal(at(61)) {
		t.Fatalf("after finishing: %+v", j)
	}
	wantKind(t, s.RenewLease(ctx, "j", "four", 5, at(99)), fault.Conflict)
	wantKind(t, s.RetryJob(ctx, "j", 5, at(99), ""), fault.Conflict)
	wantKind(t, turn(func(tx store.Tx) error { return tx.PauseJob(ctx, "j") }), fault.Conflict)
	if len(claim("agent:a", "five", 1000)) != 0 {
		t.Fatal("an ended job was claimed")
	}
	wantKind(t, s.Update(ctx, func(tx store.Tx) error {
		_, err := tx.FinishJob(ctx, "nobody", 1, store.JobDone, nil, at(1))
		return err
	}), fault.NotFound)
}

func countJobs(t *testing.T, s store.Store) {
	ctx := t.Context()
	update(t, s, func(tx store.Tx) error {
		for i, q := range []string{"agent:a", "agent:b", "agent:a%_", "notify", "ended"} {
			if _, err := tx.Enqueue(ctx, store.Job{ID: q, Queue: q, RunAt: at(10 * (i + 1))}); err != nil {
				return err
			}
		}
		_, err := tx.FinishJob(ctx, "ended", 0, store.JobCancelled, nil, at(1))
		return err
	})
	_, err := s.ClaimJobs(ctx, "agent:a", "one", at(10), at(99), 1)
	must(t, err)
	counts, err := s.CountJobs(ctx)
	must(t, err)
	wantSame(t, counts, map[string]int{"agent": 3, "notify": 1})
}

// pullForward plays a clock that was a day ahead and was set right.
func pullForward(t *testing.T, s store.Store) {
	const day = 86400
	ctx := t.Context()
	for id, due := range map[string]time.Time{"stuck": at(day), "due": at(5), "never": {}} {
		in := newIncident(id)
		in.DueAt = due
		saved(t, s, in)
	}
	update(t, s, func(tx store.Tx) error {
		for _, id := range []string{"leased", "waiting", "ended"} {
			if _, err := tx.Enqueue(ctx, store.Job{ID: id, Queue: "agent:" + id, RunAt: at(day)}); err != nil {
				return err
			}
		}
		_, err := tx.FinishJob(ctx, "ended", 0, store.JobCancelled, nil, at(1))
		return err
	})
	claimed, err := s.ClaimJobs(ctx, "agent:leased", "gone", at(day), at(day+60), 1)
	must(t, err)
	wantSame(t, len(claimed), 1)
	if taken, err := s.ClaimIncidents(ctx, "gone", at(day), at(day+60), 10); err != nil || len(taken) != 2 {
		t.Fatalf("claimed %v, %v", taken, err)
	}

	for range 2 { // again is the same
		must(t, s.PullForward(ctx, at(10), at(40)))
	}
	early, err := s.ClaimIncidents(ctx, "one", at(39), at(99), 10)
	must(t, err)
	wantSame(t, len(early), 0) // a claim that is held keeps its time
	again, err := s.ClaimIncidents(ctx, "one", at(41), at(99), 10)
	must(t, err)
	slices.Sort(again)
	wantSame(t, again, []string{"due", "stuck"})
	for queue, now := range map[string]int{"agent:waiting": 10, "agent:leased": 41} {
		list, err := s.ClaimJobs(ctx, queue, "one", at(now), at(99), 1)
		must(t, err)
		if len(list) != 1 {
			t.Errorf("the job in %s cannot be had", queue)
		}
	}
	list, err := s.ClaimJobs(ctx, "agent:ended", "one", at(2*day), at(3*day), 1)
	must(t, err)
	wantSame(t, len(list), 0)
}

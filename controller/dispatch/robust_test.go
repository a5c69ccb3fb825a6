package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/dispatch"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// enqueue puts a row into the agent's queue as it is.
func (k *desk) enqueue(agent string, row store.Job) {
	k.t.Helper()
	row.Queue, row.Key, row.State, row.CreatedAt = dispatch.Queue(agent), row.ID, store.JobQueued, time.Now()
	if row.RunAt.IsZero() {
		row.RunAt = time.Now()
	}
	err := k.db.Update(k.t.Context(), func(tx store.Tx) error {
		_, err := tx.Enqueue(k.t.Context(), row)
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
}

func TestWhatCannotBeSentDoesNotStandInTheWay(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	big, err := json.Marshal(job.Job{Kind: job.Diagnose, Diagnose: &job.DiagnoseSpec{Causes: []job.Document{{Body: bytes.Repeat([]byte{1}, 16<<20)}}}})
	if err != nil {
		t.Fatal(err)
	}
	first := time.Now().Add(-time.Hour) // they come before the good one
	k.enqueue("web1", store.Job{ID: "a.torn", Kind: "diagnose", Payload: []byte("{"), RunAt: first})
	k.enqueue("web1", store.Job{ID: "b.big", Kind: "diagnose", Payload: big, RunAt: first})
	k.enqueue("web1", store.Job{ID: "c.late", Kind: "run", Payload: []byte("{}"), RunAt: first, Deadline: first})
	k.order("web1", "z.good")
	h := newHand()
	ctx, cancel := context.WithCancel(t.Context())
	done := k.connect(ctx, id, h)
	if j := next(t, h.jobs, "the good job"); j.ID != "z.good" {
		t.Errorf("got %s", j.ID)
	}
	kinds := map[string]fault.Kind{}
	for range 3 {
		r := next(t, k.got, "the end of a job that cannot be sent")
		kinds[r.JobID] = r.Error.Kind
		if r.Status != job.Failed {
			t.Errorf("%s: %s", r.JobID, r.Status)
		}
	}
	if kinds["a.torn"] != fault.Internal || kinds["b.big"] != fault.TooLarge || kinds["c.late"] != fault.Timeout {
		t.Errorf("got %v", kinds)
	}
	cancel()
	next(t, done, "the end")
}

func TestAnAgentThatComesBackKeepsItsJob(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	h := newHand()
	ctx, cancel := context.WithCancel(t.Context())
	done := k.connect(ctx, id, h)
	next(t, h.link, "the link")
	k.order("web1", "inc.1")
	first := next(t, h.jobs, "the job")
	cancel()
	next(t, done, "the end")
	ctx, cancel = context.WithCancel(t.Context())
	done = k.connect(ctx, id, h)
	link := next(t, h.link, "the new link")
	if err := link.RenewLease(ctx, first.ID, first.Fence); err != nil { // before it knows its new fence
		t.Fatal(err)
	}
	again := next(t, h.jobs, "the job again, at once: the lease was given back")
	if again.ID != first.ID || again.Fence != first.Fence+1 {
		t.Errorf("got %s with fence %d", again.ID, again.Fence)
	}
	for _, fence := range []int64{first.Fence, again.Fence} {
		if err := link.RenewLease(ctx, first.ID, fence); err != nil {
			t.Fatal(err)
		}
	}
	if err := link.SendReport(ctx, job.Report{JobID: first.ID, Fence: again.Fence, Status: job.Done}); err != nil {
		t.Fatal(err)
	}
	next(t, h.accepted, "the acceptance")
	if len(h.lost) != 0 {
		t.Error("a lease was called lost")
	}
	if err := link.RenewLease(ctx, "nobody's", 1); err != nil {
		t.Fatal(err)
	}
	if lost := next(t, h.lost, "the loss of a job that is not there"); lost != "nobody's" {
		t.Errorf("lost %s", lost)
	}
	cancel()
	next(t, done, "the end")
}

func TestALeaseThatNobodyRenewsIsSentAgainOnTheSameStream(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	k.stop()
	k.lease = time.Second
	k.start("127.0.0.1:0")
	id := k.enrol("web1")
	h := newHand()
	ctx, cancel := context.WithCancel(t.Context())
	done := k.connect(ctx, id, h)
	next(t, h.link, "the link")
	k.order("web1", "inc.1")
	k.order("web1", "inc.2") // both hands are full, and the agent forgets them
	seen := map[string]int64{}
	for range 4 {
		j := next(t, h.jobs, "a job")
		if j.Fence != seen[j.ID]+1 {
			t.Errorf("%s has fence %d after %d", j.ID, j.Fence, seen[j.ID])
		}
		seen[j.ID] = j.Fence
	}
	cancel()
	next(t, done, "the end")
}

func TestAnAgentEnrolledAnewRefusesItsOldCertificate(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	old := k.enrol("web1")
	h := newHand()
	done := k.connect(t.Context(), old, h)
	next(t, h.link, "the link")
	fresh := k.enrol("web1")
	if err := next(t, done, "the end of the old stream"); !fault.Is(err, fault.Denied) {
		t.Errorf("the old stream: %v", err)
	}
	if err := next(t, k.connect(t.Context(), old, newHand()), "the refusal"); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the old certificate: %v", err)
	}
	if _, _, err := job.RenewCertificate(t.Context(), k.addr, old, nil); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the old certificate made a new one: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done = k.connect(ctx, fresh, h)
	next(t, h.link, "the link with the new certificate")
	cancel()
	next(t, done, "the end")
}

func TestARenewedCertificateReplacesTheOldOneOnlyWhenItIsUsed(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	old := k.enrol("web1")
	works := func(id job.Identity) error {
		h := newHand()
		ctx, cancel := context.WithCancel(t.Context())
		done := k.connect(ctx, id, h)
		defer cancel()
		select {
		case <-h.link:
			cancel()
			<-done
			return nil
		case err := <-done:
			return err
		}
	}
	renew := func(id job.Identity) job.Identity {
		t.Helper()
		got, _, err := job.RenewCertificate(t.Context(), k.addr, id, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	lost := renew(old) // its answer never reached the agent's disk
	if err := works(old); err != nil {
		t.Errorf("the old one before the new one was used: %v", err)
	}
	next := renew(old)
	if err := works(lost); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("one that was replaced before it was used: %v", err)
	}
	if err := works(next); err != nil {
		t.Errorf("the new one: %v", err)
	}
	if err := works(old); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the old one after the new one was used: %v", err)
	}
	if err := works(next); err != nil {
		t.Errorf("the new one again: %v", err)
	}
	if err := k.d.Revoke(t.Context(), "web1"); err != nil {
		t.Fatal(err)
	}
	if err := works(next); !fault.Is(err, fault.Denied) {
		t.Errorf("revoked: %v", err)
	}
}

func TestARevocationIsNotLostToTheAgentsOwnContact(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	for range 20 { // each connection notes that the agent was seen
		h := newHand()
		done := k.connect(t.Context(), id, h)
		next(t, h.link, "the link")
		if err := k.d.Revoke(t.Context(), "web1"); err != nil {
			t.Fatal(err)
		}
		next(t, done, "the end")
		a, err := k.db.FindAgent(t.Context(), "web1")
		if err != nil || a.RevokedAt.IsZero() {
			t.Fatalf("the revocation is gone: %+v, %v", a, err)
		}
		a.RevokedAt = time.Time{}
		if err := k.db.SaveAgent(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMistakeInTheNameDoesNotUseTheTokenUp(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	token := k.token("")
	enrol := func(name string) error {
		_, _, err := job.Enroll(t.Context(), job.EnrollOptions{Address: k.addr, Token: token, Name: name, Now: time.Now})
		return err
	}
	for _, name := range []string{"no/name", ""} { // the token gives none
		if err := enrol(name); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if err := enrol("web1"); err != nil {
		t.Error(err)
	}
}

func TestAnAgentIsCalledWhatItsTokenWasMadeFor(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id, _, err := job.Enroll(t.Context(), job.EnrollOptions{Address: k.addr, Token: k.token("web1"), Now: time.Now})
	if err != nil || id.Name != "web1" {
		t.Errorf("got %q, %v", id.Name, err)
	}
}

func TestEventsOfJobsThatAreNotItsOwnAreNotShown(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	h := newHand()
	ctx, cancel := context.WithCancel(t.Context())
	done := k.connect(ctx, id, h)
	link := next(t, h.link, "the link")
	k.order("web1", "inc.1")
	next(t, h.jobs, "the job")
	link.SendEvent("of-another", 1, job.Event{Text: "<script>"})
	link.SendEvent("inc.1", 1, job.Event{Text: "mine"})
	if e := next(t, k.events, "the event"); e.JobID != "inc.1" {
		t.Errorf("shown: %+v", e)
	}
	cancel()
	next(t, done, "the end")
}

package agenttest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/agent"
	"github.com/secondline-ops/secondline/agent/credentials"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// starts returns when each step began to act.
func (h *house) starts(id string) map[string]time.Time {
	h.t.Helper()
	entries, err := h.journal.Job(id)
	if err != nil {
		h.t.Fatal(err)
	}
	out := map[string]time.Time{}
	for _, e := range entries {
		if e.Kind == journal.Intent {
			out[e.Step] = e.At
		}
	}
	return out
}

// verified reports whether the journal says so of a step.
func (h *house) verified(id, step string) bool {
	h.t.Helper()
	entries, err := h.journal.Job(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return slices.ContainsFunc(entries, func(e journal.Entry) bool { return e.Kind == journal.Verified && e.Step == step })
}

func TestAControllerThatRestartsDoesNotDisturbARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		h.k.order("web1", h.runJob("r", runbook("5m")))
		began := time.Now()
		for range 3 {
			time.Sleep(time.Minute)
			h.k.stop()
			time.Sleep(5 * time.Second)
			h.k.start(h.k.db)
		}
		h.expect(h.k.await("r"), runbooks.RunVerified, 1, 1)
		if late := h.starts("r")["second"].Sub(began); late > 6*time.Minute {
			t.Errorf("the second step began after %s: the run was interrupted", late)
		}
	})
}

// crashing is a store whose leases nobody gives back, as when a controller dies.
type crashing struct{ store.Store }

func (crashing) ReleaseLeases(context.Context, string) error { return nil }

func TestAControllerThatDiesDoesNotDisturbARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t)
		k.stop()
		k.start(crashing{k.db})
		h := newHouse(t, k)
		h.start()
		defer h.stop()
		k.order("web1", h.runJob("r", runbook("5m")))
		began := time.Now()
		time.Sleep(time.Minute)
		k.stop()
		k.start(crashing{k.db})
		h.expect(k.await("r"), runbooks.RunVerified, 1, 1)
		if late := h.starts("r")["second"].Sub(began); late > 6*time.Minute {
			t.Errorf("the second step began after %s: the run was interrupted", late)
		}
	})
}

func TestNoStepStartsInAPartitionLongerThanTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		h.k.order("web1", h.runJob("r", runbook("5m")))
		time.Sleep(time.Minute)
		h.k.wire.goDark()
		time.Sleep(30 * time.Minute)
		if h.lines("one") != 1 || h.lines("two") != 0 {
			t.Fatalf("one acted %d times, two %d times", h.lines("one"), h.lines("two"))
		}
		healed := time.Now()
		h.k.wire.heal()
		h.expect(h.k.await("r"), runbooks.RunVerified, 1, 1)
		if at := h.starts("r")["second"]; at.Before(healed) {
			t.Errorf("the second step began %s before the partition ended", healed.Sub(at))
		}
	})
}

// TestAStepThatCutsTheWayToTheControllerIsTakenBack: in a partition that it may
// have brought about; and one that did not is kept.
func TestAStepThatCutsTheWayToTheControllerIsTakenBack(t *testing.T) {
	t.Parallel()
	cutting := strings.ReplaceAll(strings.Replace(runbook("5m"), "limits: {deadline: 2h}", "limits: {deadline: 2h}\n  deadman: 3m", 1),
		"repeat: {ask: one.n >= 1}", "repeat: {ask: one.n >= 1}\n      may_cut_access: true")
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		h.expect(h.k.do(h.runJob("kept", cutting)), runbooks.RunVerified, 1, 1)
		j := h.runJob("r", cutting)
		h.k.order("web1", j)
		for h.lines("one") < 2 {
			time.Sleep(time.Millisecond)
		}
		h.k.wire.goDark()
		time.Sleep(4 * time.Minute)
		if h.lines("one") != 2 || h.lines("one-undone") != 1 || h.lines("two") != 1 {
			t.Fatalf("in the partition: acted %d times, undone %d times, two %d times", h.lines("one"), h.lines("one-undone"), h.lines("two"))
		}
		h.k.wire.heal()
		h.expect(h.k.await("r"), runbooks.RunUndone, 2, 1)
	})
}

// TestAnAgentThatDiesInAStepThatCutsItOffTakesItBack: nobody can send it the run
// again. It is killed at each record, and comes back into the partition.
func TestAnAgentThatDiesInAStepThatCutsItOffTakesItBack(t *testing.T) {
	t.Parallel()
	cutting := strings.ReplaceAll(strings.Replace(runbook("5m"), "limits: {deadline: 2h}", "limits: {deadline: 2h}\n  deadman: 3m", 1),
		"repeat: {ask: one.n >= 1}", "repeat: {ask: one.n >= 1}\n      may_cut_access: true")
	undone, kept := 0, 0
	for n, killed := 2, true; killed; n++ { // each record twice: not on disk, and on it
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, newDesk(t))
			h.start()
			j := h.runJob("r", cutting)
			h.stop()
			h.k.order("web1", j)
			if killed = h.live(n/2, n%2 == 1); !killed {
				h.start()
				h.stop()
				return
			}
			h.k.wire.goDark()
			acted, two := h.lines("one"), h.lines("two")
			h.disk = quick{}
			h.start()
			defer h.stop()
			time.Sleep(9 * time.Minute)
			if h.lines("one") != acted || h.lines("two") != two {
				t.Errorf("killed at record %d: a step began in the partition", n/2)
			}
			taken := h.lines("one-undone")
			if acted == 1 && taken != 1 && !h.verified("r", "first") {
				t.Errorf("killed at record %d: the step that may have cut off the host stands, taken back %d times", n/2, taken)
			}
			h.k.wire.heal()
			want := runbooks.RunVerified
			if taken > 0 {
				want = runbooks.RunUndone
			}
			if r := h.k.await("r"); r.Run == nil || r.Run.Status != want {
				t.Errorf("killed at record %d: the report is %s, want the run %s: %+v", n/2, r.Status, want, r.Run)
			}
			if taken > 0 {
				undone++
			} else {
				kept++
			}
		})
	}
	if undone < 3 || kept < 3 {
		t.Errorf("taken back after %d kills, kept after %d", undone, kept)
	}
}

// TestTheLeaseLapsesWhileTheConnectionStillLooksAlive partitions for longer than
// the lease and for less than gRPC takes to notice.
func TestTheLeaseLapsesWhileTheConnectionStillLooksAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		h.k.order("web1", h.runJob("r", runbook("70s")))
		time.Sleep(35 * time.Second) // of the hold, 35 seconds are left
		dark := time.Now()
		h.k.wire.goDark()
		time.Sleep(job.Lease + 6*time.Second)
		h.k.wire.heal()
		if h.lines("two") != 0 {
			t.Error("the second step began without a lease")
		}
		h.expect(h.k.await("r"), runbooks.RunVerified, 1, 1)
		if at := h.starts("r")["second"]; at.Before(dark.Add(job.Lease)) {
			t.Errorf("the second step began %s after the last contact", at.Sub(dark))
		}
	})
}

// TestReconnectionsDoNotKeepALeaseAlive lets every reconnection fail at once: what the agent
// tries is no renewal.
func TestReconnectionsDoNotKeepALeaseAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		h.k.order("web1", h.runJob("r", runbook("5m")))
		time.Sleep(time.Minute)
		h.k.stop()
		time.Sleep(20 * time.Minute)
		if h.lines("two") != 0 {
			t.Error("the second step began without a controller")
		}
		h.k.wire.mu.Lock()
		dials := h.k.wire.dials
		h.k.wire.mu.Unlock()
		if dials < 20 || dials > 400 {
			t.Errorf("%d attempts in 20 minutes", dials)
		}
		h.k.start(h.k.db)
		h.expect(h.k.await("r"), runbooks.RunVerified, 1, 1)
	})
}

// TestARenewalThatWasNotStoredIsNotConfirmed breaks the store for renewals only,
// for three minutes. A hold that is longer than a lease cannot end in them.
func TestARenewalThatWasNotStoredIsNotConfirmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t)
		k.stop()
		well := time.Now().Add(3 * time.Minute)
		k.start(noRenewals{k.db, well})
		h := newHouse(t, k)
		h.start()
		defer h.stop()
		k.order("web1", h.runJob("r", runbook("70s")))
		h.expect(k.await("r"), runbooks.RunVerified, 1, 1)
		if at := h.starts("r")["second"]; at.Before(well) {
			t.Errorf("the second step began %s before a renewal was stored", well.Sub(at))
		}
	})
}

type noRenewals struct {
	store.Store
	until time.Time
}

func (n noRenewals) RenewLease(ctx context.Context, id, owner string, fence int64, until time.Time) error {
	if time.Now().Before(n.until) {
		return fault.New(fault.Overloaded, "the disk is full")
	}
	return n.Store.RenewLease(ctx, id, owner, fence, until)
}

func TestTheCertificateIsRenewedAndTheOldOneEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t)
		h := newHouse(t, k)
		h.edit = func(o *agent.Options) {
			o.Renewer = credentials.Renewer{Dir: h.state, Dial: k.wire.dial, Now: time.Now}
		}
		old := h.id
		time.Sleep(20*24*time.Hour - 10*time.Minute) // two thirds of its life, nearly
		h.start()
		time.Sleep(65 * time.Minute)
		if r := k.do(h.planJob("p", runbook("0s"))); r.Status != job.Done {
			t.Errorf("got %s, %+v", r.Status, r.Error)
		}
		h.stop()
		kept, err := credentials.Load(h.state)
		if err != nil || kept.Name != "web1" || string(kept.Certificate.Certificate[0]) == string(old.Certificate.Certificate[0]) {
			t.Fatalf("the new certificate was not kept: %v", err)
		}
		if credentials.RenewDue(kept, time.Now()) {
			t.Error("the certificate on disk is old")
		}
		if _, _, err := job.RenewCertificate(t.Context(), "c1", old, k.wire.dial); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("the old certificate is still good: %v", err)
		}
		h.id, h.edit = kept, nil
		h.start()
		if r := k.do(h.planJob("p2", runbook("0s"))); r.Status != job.Done {
			t.Errorf("got %s, %+v", r.Status, r.Error)
		}
		h.stop()
	})
}

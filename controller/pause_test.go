package controller

import (
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// TestAPausedRunWaitsForSomebodyToResumeIt: its agent loses the lease, nobody is
// called although its time is over, and then the same job comes again.
func TestAPausedRunWaitsForSomebodyToResumeIt(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	j := d.toRun()
	run := d.the().CurrentRun().ID
	d.wantKind(d.app.people.ResumeRun(t.Context(), run, "ada", ""), fault.Conflict)
	d.must(d.app.people.PauseRun(t.Context(), run, "ada", "the backup runs"))
	d.settle()
	d.wantKind(d.app.people.PauseRun(t.Context(), run, "bob", ""), fault.Conflict)
	d.wantKind(d.db.RenewLease(t.Context(), j.ID, "web1", j.Fence, d.clock.now().Add(time.Minute)), fault.Conflict)
	d.wait(6 * time.Hour)
	d.idle()
	if in := d.wantStatus(incident.Remediating, triage.RunPaused); in.Escalation != nil {
		t.Errorf("a person was called: %+v", in.Escalation)
	}
	d.must(d.app.people.ResumeRun(t.Context(), run, "bob", "it is through"))
	d.settle()
	again := d.next(job.Run)
	if again.ID != j.ID || again.Fence <= j.Fence {
		t.Errorf("job %s with fence %d, was %s with %d", again.ID, again.Fence, j.ID, j.Fence)
	}
	d.report(ran(again, runbooks.RunVerified))
	d.report(measured(d.next(job.Measure), "true"))
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	d.wantKind(d.app.people.PauseRun(t.Context(), run, "ada", ""), fault.Conflict)
}

func TestAPausedRunThatLostItsLockIsNotResumed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.toRun()
	run := d.the().CurrentRun().ID
	d.must(d.app.people.PauseRun(t.Context(), run, "ada", ""))
	d.wait(6 * time.Hour)
	d.must(d.db.Update(t.Context(), func(tx store.Tx) error {
		return tx.Lock(t.Context(), "target/web1", "run-other", d.clock.now(), d.clock.now().Add(time.Hour))
	}))
	d.wantKind(d.app.people.ResumeRun(t.Context(), run, "ada", ""), fault.Conflict)
	d.idle()
	d.wait(2 * time.Hour)
	d.must(d.app.people.ResumeRun(t.Context(), run, "ada", ""))
	d.settle()
	d.next(job.Run)
}

// TestAPausedRunThatIsCancelledIsEndedByItsAgent, which alone knows what it did.
func TestAPausedRunThatIsCancelledIsEndedByItsAgent(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.toRun()
	run := d.the().CurrentRun().ID
	d.must(d.app.people.PauseRun(t.Context(), run, "ada", ""))
	d.must(d.app.people.CancelRun(t.Context(), run, "ada", "never mind"))
	d.settle()
	again := d.next(job.Run)
	if why, err := (receiver{d.app}).StopAsked(t.Context(), store.Job{ID: again.ID, Kind: string(job.Run), Incident: d.the().ID}); err != nil || why == "" {
		t.Errorf("the agent is not asked to stop: %q, %v", why, err)
	}
	d.report(ran(again, runbooks.RunCancelled))
	if got := d.the().FindRun(run); got.Status != runbooks.RunCancelled {
		t.Errorf("the run is %s", got.Status)
	}
}

func TestAReportOfAPausedRunIsTaken(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	j := d.toRun()
	run := d.the().CurrentRun().ID
	d.must(d.app.people.PauseRun(t.Context(), run, "ada", ""))
	d.report(ran(j, runbooks.RunVerified)) // its last step was open
	if got := d.the().FindRun(run); got.Status != runbooks.RunVerified {
		t.Errorf("the run is %s", got.Status)
	}
}

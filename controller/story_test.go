package controller

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

func TestAlertIsDiagnosedApprovedCuredAndMeasuredGone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.toResolved()
	in := d.the()
	if in.Unverified || in.Work != nil || !strings.Contains(in.Resolution, "measured gone") || in.Runs[0].Status != runbooks.RunVerified {
		t.Errorf("got %+v", in)
	}
	if by := in.Runs[0].Decisions; len(by) != 1 || by[0].By != "ada" || !by[0].Approved {
		t.Errorf("decisions %+v", by)
	}
	if got := len(d.box.of(kindApprovalWanted)); got != 1 {
		t.Errorf("%d messages that want an approval, want 1", got)
	}
	if got := len(d.box.of(kindResolved)); got != 1 {
		t.Errorf("%d messages that it is resolved, want 1", got)
	}
	if got := len(d.box.of(kindEscalated)); got != 0 {
		t.Errorf("%d people were called for nothing", got)
	}
	d.idle()
	d.wait(29 * time.Minute)
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	d.wait(2 * time.Minute)
	if in := d.wantStatus(incident.Closed, triage.NothingToDo); !in.DueAt.IsZero() {
		t.Errorf("a closed incident is due at %s", in.DueAt)
	}
	d.must(d.app.loop.store.Update(t.Context(), func(tx store.Tx) error { // the target is free again
		return tx.Lock(t.Context(), "target/web1", "somebody", d.clock.now(), d.clock.now().Add(time.Hour))
	}))
	for i, e := range d.events(in.ID) {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has number %d", i+1, e.Seq)
		}
	}
}

func TestRefutedCureLeadsToTheNextCauseAndThenToAPersonWithABundle(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	d.report(looked(d.next(job.Diagnose), "relay", "worker"))
	var keys []string
	for range 2 {
		d.report(planned(d.next(job.Plan)))
		run := d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval).CurrentRun()
		keys = append(keys, run.Key)
		d.approve(run)
		d.clock.advance(time.Second)
		d.report(ran(d.next(job.Run), runbooks.RunVerified))
		d.clock.advance(time.Second)
		d.report(measured(d.next(job.Measure), expr.False))
		d.report(looked(d.next(job.Diagnose), "relay", "worker"))
	}
	in := d.wantStatus(incident.Escalated, triage.WaitingForPerson)
	if keys[0] == keys[1] || len(in.Tried) != 2 || in.Tried[0].Outcome != "refuted" {
		t.Errorf("tried %+v", in.Tried)
	}
	if !strings.Contains(in.Escalation.Reason, triage.CuresExhausted.Sentence()) || in.Escalation.BundleErr != "" {
		t.Errorf("escalation %+v", in.Escalation)
	}
	calls := d.box.of(kindEscalated)
	if len(calls) != 1 || calls[0].Attachment != filepath.Join(d.dir, "bundles", in.Escalation.Bundle) {
		t.Fatalf("calls %+v, bundle %q", calls, in.Escalation.Bundle)
	}
	if st, err := os.Stat(calls[0].Attachment); err != nil || st.Size() == 0 || st.Mode().Perm() != 0o600 {
		t.Errorf("bundle: %v, %v", st, err)
	}
	if !slices.Equal(in.Escalation.Notified, []string{"mailbox"}) {
		t.Errorf("notified %v", in.Escalation.Notified)
	}
	d.idle()
	d.wait(24 * time.Hour)
	if len(d.box.of(kindEscalated)) != 1 {
		t.Error("a person was called again for nothing new")
	}
}

func TestRejectedPlanIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	run := d.toApproval()
	d.must(d.app.people.Reject(t.Context(), run.ID, "ada", "not at night"))
	d.settle()
	in := d.wantStatus(incident.Escalated, triage.WaitingForPerson)
	if in.Runs[0].Status != runbooks.RunRejected || in.Tried[0].Outcome != "rejected" {
		t.Errorf("run %+v, tried %+v", in.Runs[0], in.Tried)
	}
	d.wantKind(d.app.people.Approve(t.Context(), run.ID, run.Plan.Digest, "bob", ""), fault.Conflict)
	d.idle()
}

func TestApprovalOfAnotherPlanIsRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	run := d.toApproval()
	d.wantKind(d.app.people.Approve(t.Context(), run.ID, "sha256:old", "ada", ""), fault.Conflict)
	d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval)
	d.idle()
}

// TestAPlanThatAsksForTwoPeopleWaitsForBoth: and the agent is told who they are.
func TestAPlanThatAsksForTwoPeopleWaitsForBoth(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1:9100")))
	d.report(looked(d.next(job.Diagnose), "relay"))
	report := planned(d.next(job.Plan))
	report.Plan.Approvals = 2
	d.report(report)
	run := d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval).CurrentRun()
	d.approve(run)
	d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval)
	d.wantKind(d.app.people.Approve(t.Context(), run.ID, run.Plan.Digest, "ada", "again"), fault.Conflict)
	d.idle()
	d.must(d.app.people.Approve(t.Context(), run.ID, run.Plan.Digest, "bob", ""))
	d.settle()
	if by := d.next(job.Run).Run.ApprovedBy; !slices.Equal(by, []string{"ada", "bob"}) {
		t.Errorf("approved by %q", by)
	}
}

// TestARunBeyondItsRateCallsAPersonAndWaits: one approval more is no reason.
func TestARunBeyondItsRateCallsAPersonAndWaits(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(d.db.Update(t.Context(), func(tx store.Tx) error {
		return tx.Lock(t.Context(), "rate/rotate on web1/1", "rate of another run", d.clock.now(), d.clock.now().Add(2*time.Hour))
	}))
	d.post(body(d.alert("firing", "ProcessGone", "web1:9100")))
	d.report(looked(d.next(job.Diagnose), "relay"))
	report := planned(d.next(job.Plan))
	report.Plan.Rates = []runbooks.PlannedRate{{Name: "rotate on web1", Most: 1, Within: 2 * time.Hour}}
	d.report(report)
	d.approve(d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval).CurrentRun())
	if in := d.wantStatus(incident.Escalated, triage.RateUsedUp); !strings.Contains(in.Escalation.Reason, triage.RateUsedUp.Sentence()) {
		t.Errorf("escalation %+v", in.Escalation)
	}
	if calls := d.box.of(kindEscalated); len(calls) != 1 {
		t.Errorf("%d calls", len(calls))
	}
	d.idle()
	d.wait(3 * time.Hour)
	d.next(job.Run) // it is free again, and the approval still stands
	if calls := d.box.of(kindEscalated); len(calls) != 1 {
		t.Errorf("%d calls", len(calls))
	}
}

func TestApprovalTimesOutAndIsStillWelcome(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	run := d.toApproval()
	d.wait(61 * time.Minute)
	d.wantStatus(incident.Escalated, triage.WaitingForPerson)
	d.approve(run)
	d.report(ran(d.next(job.Run), runbooks.RunVerified))
	d.report(measured(d.next(job.Measure), expr.True))
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
}

func TestCancelBeforeTheAgentTookTheRun(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	run := d.toApproval()
	d.must(d.app.people.Approve(t.Context(), run.ID, run.Plan.Digest, "ada", ""))
	d.must(d.app.people.CancelRun(t.Context(), run.ID, "bob", "wrong host"))
	d.settle()
	if j := d.next(job.Diagnose); j.Kind != job.Diagnose { // and no run
		t.Fatal(j)
	}
	in := d.the()
	if in.Runs[0].Status != runbooks.RunCancelled || in.Status != incident.Diagnosing {
		t.Errorf("%s, run %s", in.Status, in.Runs[0].Status)
	}
	d.wantKind(d.app.people.CancelRun(t.Context(), run.ID, "bob", ""), fault.Conflict)
}

func TestCancelWhileTheAgentIsAtWorkWaitsForItsReport(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	j := d.toRun()
	run := d.the().CurrentRun()
	d.must(d.app.people.CancelRun(t.Context(), run.ID, "bob", ""))
	d.wantKind(d.app.people.Resolve(t.Context(), d.the().ID, "bob", ""), fault.Conflict)
	d.wantStatus(incident.Remediating, triage.JobInFlight)
	row, err := d.app.o.Store.FindJob(t.Context(), j.ID)
	d.must(err)
	if why, err := (receiver{d.app}).StopAsked(t.Context(), row); why != "cancelled by bob" || err != nil { // what an agent is told that was away
		t.Errorf("got %q, %v", why, err)
	}
	d.report(ran(j, runbooks.RunCancelled))
	if in := d.the(); in.Status != incident.Diagnosing || in.Runs[0].Status != runbooks.RunCancelled {
		t.Errorf("%s, run %s", in.Status, in.Runs[0].Status)
	}
}

func TestSourceSaysResolvedButTheHostSaysNo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	run := d.toApproval()
	d.must(d.app.people.Reject(t.Context(), run.ID, "ada", ""))
	d.settle()
	d.post(body(d.alert("resolved", "ProcessGone", "web1:9100")))
	d.clock.advance(time.Second)
	d.report(measured(d.next(job.Measure), expr.False))
	d.wantStatus(incident.Escalated, triage.SourceIsWrong)
	d.wait(24 * time.Hour)
	d.wantStatus(incident.Escalated, triage.SourceIsWrong)
}

func TestGoneByItselfIsMeasuredBeforeItCounts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	run := d.toApproval()
	d.post(body(d.alert("resolved", "ProcessGone", "web1:9100")))
	j := d.next(job.Measure)
	d.must(d.app.people.Approve(t.Context(), run.ID, run.Plan.Digest, "ada", "")) // too late: nothing is cured that is gone
	d.report(measured(j, expr.True))
	in := d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	if in.Unverified || in.Runs[0].Status != runbooks.RunCancelled {
		t.Errorf("unverified %v, run %s", in.Unverified, in.Runs[0].Status)
	}
	d.idle()
}

func TestNothingToMeasureIsResolvedAsUnverified(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "Nonsense", "unknown-host")))
	d.wantStatus(incident.Escalated, triage.WaitingForPerson)
	d.post(body(d.alert("resolved", "Nonsense", "unknown-host")))
	d.wait(4 * time.Minute)
	d.wantStatus(incident.Escalated, triage.SourceSaysResolved)
	d.wait(2 * time.Minute)
	if in := d.wantStatus(incident.Resolved, triage.ResolvedRecently); !in.Unverified {
		t.Error("it counts as verified")
	}
}

func TestRelapseIsDiagnosedAgainAndAnEchoIsNot(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	echo := body(d.alert("firing", "ProcessGone", "web1:9100"))
	d.toResolved()
	d.clock.advance(time.Minute)
	d.post(echo)
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	d.clock.advance(10 * time.Minute)
	d.post(body(d.alert("firing", "ProcessGone", "web1:9100")))
	d.wantStatus(incident.Diagnosing, triage.JobInFlight)
	d.next(job.Diagnose)
	if n := len(d.all()); n != 1 {
		t.Errorf("%d incidents", n)
	}
}

func TestSignalAfterHalfAnHourOpensANewIncident(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.toResolved()
	d.clock.advance(31 * time.Minute)
	d.post(body(d.alert("firing", "ProcessGone", "web1:9100")))
	if list := d.all(); len(list) != 2 || list[0].Status != incident.Diagnosing {
		t.Errorf("%d incidents", len(list))
	}
}

func TestSilentAgentCallsAPersonOnceAndItsLateDiagnosisIsHarmless(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	j := d.next(job.Diagnose)
	d.wait(diagnoseWithin + time.Minute)
	in := d.wantStatus(incident.Escalated, triage.JobInFlight)
	if in.Work == nil || !in.Work.Warned {
		t.Errorf("work %+v", in.Work)
	}
	d.wait(time.Hour)
	if len(d.box.of(kindEscalated)) != 1 {
		t.Errorf("%d calls", len(d.box.of(kindEscalated)))
	}
	for _, again := range d.claim("web1") {
		j = again // the same job, with a higher fence
	}
	d.report(looked(j, "relay"))
	if in := d.wantStatus(incident.Escalated, triage.WaitingForPerson); in.Diagnosis == nil || in.Work != nil {
		t.Error("the late diagnosis was not written down")
	}
	d.idle()
}

func TestLateReportOfAVerifiedRunIsMeasuredAndResolves(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	j := d.toRun()
	d.wait(j.Deadline.Sub(d.clock.now()) + time.Minute)
	d.wantStatus(incident.Escalated, triage.JobInFlight)
	err := d.db.Update(t.Context(), func(tx store.Tx) error { // what may still be changing stays locked
		return tx.Lock(t.Context(), "target/web1", "other", d.clock.now(), d.clock.now().Add(time.Hour))
	})
	d.wantKind(err, fault.Conflict)
	d.report(ran(j, runbooks.RunVerified))
	d.wantStatus(incident.Verifying, triage.JobInFlight)
	d.clock.advance(time.Second)
	d.report(measured(d.next(job.Measure), expr.True))
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
}

func TestPersonResolvesWhileAnAgentIsSilentAndTheLateReportChangesNoStatus(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	j := d.toRun()
	d.wait(j.Deadline.Sub(d.clock.now()) + time.Minute)
	d.must(d.app.people.Resolve(t.Context(), "1", "ada", "I looked"))
	in := d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	if in.Work != nil || in.Runs[0].Status != runbooks.RunUnknown || !in.Unverified {
		t.Errorf("work %v, run %s, unverified %v", in.Work, in.Runs[0].Status, in.Unverified)
	}
	d.report(ran(j, runbooks.RunVerified))
	if in := d.wantStatus(incident.Resolved, triage.ResolvedRecently); in.Runs[0].Status != runbooks.RunVerified {
		t.Errorf("the late report is not written down: %s", in.Runs[0].Status)
	}
	d.idle()
}

func TestPersonResolvesWhileADiagnosisIsInFlight(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	j := d.next(job.Diagnose)
	d.must(d.app.people.Resolve(t.Context(), "1", "ada", ""))
	d.report(looked(j, "relay"))
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	d.idle()
}

func TestUnknownOutcomeCallsAPersonAndKeepsTheTargetLocked(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*job.Report){
		"said so":         func(r *job.Report) { r.Run.Status = runbooks.RunUnknown },
		"no result":       func(r *job.Report) { r.Run, r.Status = nil, job.Unknown },
		"done and silent": func(r *job.Report) { r.Run = nil },
		"still waiting":   func(r *job.Report) { r.Run.Status = runbooks.RunWaiting },
		"nonsense":        func(r *job.Report) { r.Run.Status = "fine, trust me" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			r := ran(d.toRun(), runbooks.RunVerified)
			spoil(&r)
			d.report(r)
			if in := d.wantStatus(incident.Escalated, triage.WaitingForPerson); in.Runs[0].Status != runbooks.RunUnknown {
				t.Errorf("run is %s", in.Runs[0].Status)
			}
			err := d.db.Update(t.Context(), func(tx store.Tx) error {
				return tx.Lock(t.Context(), "target/web1", "other", d.clock.now(), d.clock.now().Add(time.Hour))
			})
			d.wantKind(err, fault.Conflict)
			d.idle()
		})
	}
}

func TestPlanThatWasNotAskedForIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*runbooks.Plan){
		"another target":    func(p *runbooks.Plan) { p.Target = "web2" },
		"another runbook":   func(p *runbooks.Plan) { p.Runbook = "granted-one" },
		"another file":      func(p *runbooks.Plan) { p.RunbookDigest = "sha256:0" },
		"no digest":         func(p *runbooks.Plan) { p.Digest = "" },
		"endless":           func(p *runbooks.Plan) { p.WorstCase = 1 << 62 },
		"a negative time":   func(p *runbooks.Plan) { p.WorstCase = -1 },
		"its own objection": func(p *runbooks.Plan) { p.Refused = "the process runs" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.post(body(d.alert("firing", "ProcessGone", "web1")))
			d.report(looked(d.next(job.Diagnose), "relay"))
			r := planned(d.next(job.Plan))
			spoil(r.Plan)
			d.report(r)
			if in := d.wantStatus(incident.Escalated, triage.WaitingForPerson); in.Runs[0].Status != runbooks.RunRefused {
				t.Errorf("run is %s", in.Runs[0].Status)
			}
			d.idle()
		})
	}
}

func TestReplayedAndStaleReportsChangeNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	old := d.next(job.Diagnose)
	d.clock.advance(job.Lease + time.Second) // the lease lapses, the job is sent again
	j := d.next(job.Diagnose)
	if j.Fence <= old.Fence {
		t.Fatalf("fence %d after %d", j.Fence, old.Fence)
	}
	d.wantKind(d.receive(looked(old, "relay")), fault.Conflict)
	d.wantStatus(incident.Diagnosing, triage.JobInFlight)
	first := looked(j, "relay")
	d.report(first)
	before := len(d.events(d.the().ID))
	facts, err := d.db.ListFacts(t.Context(), d.the().ID)
	d.must(err)
	for range 3 {
		d.report(first)
	}
	after, err := d.db.ListFacts(t.Context(), d.the().ID)
	d.must(err)
	if n := len(d.events(d.the().ID)); n != before || len(after) != len(facts) {
		t.Errorf("%d events and %d facts, were %d and %d", n, len(after), before, len(facts))
	}
	if !strings.HasPrefix(facts[0].ID, "1:") || strings.HasPrefix(facts[0].ID, "1:1:") {
		t.Errorf("fact id %q", facts[0].ID)
	}
	other := first
	other.Agent = "web2"
	d.wantKind(d.receive(other), fault.Denied)
}

func TestPersonStartsARun(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	in, id, err := d.app.people.StartRun(t.Context(), request("web1", false), "ada")
	d.must(err)
	d.settle()
	d.report(planned(d.next(job.Plan)))
	run := d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval).CurrentRun()
	if run.ID != id || d.the().ID != in {
		t.Fatalf("run %s of %s", run.ID, d.the().ID)
	}
	d.approve(run)
	d.report(ran(d.next(job.Run), runbooks.RunVerified))
	got := d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	if !strings.Contains(got.Resolution, "verified") {
		t.Errorf("resolution %q", got.Resolution)
	}
	d.idle()
}

func TestDryRunChangesNothingAndResolvesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	d.report(looked(d.next(job.Diagnose))) // nothing is found: a person is called
	d.wantStatus(incident.Escalated, triage.WaitingForPerson)
	req := request("web1", true)
	req.Incident = "1"
	_, id, err := d.app.people.StartRun(t.Context(), req, "ada")
	d.must(err)
	d.report(planned(d.next(job.Plan)))
	in := d.wantStatus(incident.Escalated, triage.WaitingForPerson)
	if run := in.FindRun(id); run.Plan == nil || run.EndedAt.IsZero() || in.CurrentRun() != nil {
		t.Errorf("run %+v", run)
	}
	d.wantKind(d.app.people.Approve(t.Context(), id, in.FindRun(id).Plan.Digest, "ada", ""), fault.Conflict)
	d.idle()

	_, _, err = d.app.people.StartRun(t.Context(), request("web2", true), "ada") // without an incident: one of its own
	d.must(err)
	d.report(planned(d.nextOf("web2", job.Plan)))
	if own := d.all()[0]; own.Status != incident.Resolved || !strings.Contains(own.Resolution, "dry run") {
		t.Errorf("%s: %s", own.Status, own.Resolution)
	}
	d.idle()
}

func TestRunOnAnotherTargetThanTheIncidentsGoesThere(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	d.report(looked(d.next(job.Diagnose)))
	req := request("web2", false)
	req.Incident = "1"
	_, _, err := d.app.people.StartRun(t.Context(), req, "ada")
	d.must(err)
	j := d.nextOf("web2", job.Plan)
	if j.Target.Entity.ID != "web2" {
		t.Errorf("planned for %s", j.Target.Entity.ID)
	}
	d.report(planned(j))
	d.approve(d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval).CurrentRun())
	d.nextOf("web2", job.Run)
	d.idle()
}

func TestRunWaitsForABusyTargetWithoutHoldingAnything(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(d.db.Update(t.Context(), func(tx store.Tx) error {
		return tx.Lock(t.Context(), "shared", "other", d.clock.now(), d.clock.now().Add(time.Minute))
	}))
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	d.report(looked(d.next(job.Diagnose), "relay"))
	r := planned(d.next(job.Plan))
	r.Plan.Locks = []string{"host", "shared"}
	d.report(r)
	d.approve(d.the().CurrentRun())
	d.wantStatus(incident.AwaitingApproval, triage.TargetBusy)
	before := len(d.events(d.the().ID))
	for range 5 {
		d.wait(busyRetry)
	}
	if n := len(d.events(d.the().ID)); n != before {
		t.Errorf("%d events while waiting", n-before)
	}
	d.must(d.db.Update(t.Context(), func(tx store.Tx) error { // the target itself is not held meanwhile
		return tx.Lock(t.Context(), "target/web1", "another", d.clock.now(), d.clock.now().Add(time.Second))
	}))
	d.wait(time.Minute)
	d.wantStatus(incident.Remediating, triage.JobInFlight)
	d.next(job.Run)
}

func TestReloadTakesTheTargetAwayOfAnOpenIncident(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	run := d.toApproval()
	d.change(func(s *Settings) { s.Inventory = emptyInventory(t) })
	d.approve(run)
	in := d.wantStatus(incident.Escalated, triage.WaitingForPerson)
	if in.Runs[0].Status != runbooks.RunRefused { // an approval does not lie in wait for the host to come back
		t.Errorf("run %s", in.Runs[0].Status)
	}
	d.must(d.app.people.Reopen(t.Context(), "1", "ada", ""))
	d.settle()
	d.wantStatus(incident.Escalated, triage.WaitingForPerson)
	d.idle()
}

func TestFailedDiagnosisIsTriedAgainAndThenAPersonIsCalled(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	for range 2 {
		r := answer(d.next(job.Diagnose))
		r.Status, r.Error = job.Failed, &job.Problem{Kind: fault.Unreachable, Message: "no route to host"}
		d.report(r)
		d.wantStatus(incident.Diagnosing, triage.TryAgainLater)
		d.idle()
		d.post(body(d.alert("firing", "ProcessGone", "web1"))) // noise does not put the next try off
		d.wait(10 * time.Second)
	}
	r := answer(d.next(job.Diagnose))
	r.Status = job.Refused
	d.report(r)
	d.wantStatus(incident.Escalated, triage.WaitingForPerson)

	_, _, err := d.app.people.StartRun(t.Context(), func() (req apiRunRequest) { req = request("web1", false); req.Incident = "1"; return }(), "ada")
	d.must(err)
	d.report(planned(d.next(job.Plan))) // what a person starts does not fail with what came before
	d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval)
}

func TestClockThatJumpsBackMakesNoEndlessMeasuring(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	j := d.toRun()
	d.report(ran(j, runbooks.RunVerified))
	m := d.next(job.Measure)
	d.clock.advance(-time.Hour)
	d.report(measured(m, expr.True))
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	d.post(body(d.alert("resolved", "ProcessGone", "web1:9100")))
	d.post(body(d.alert("firing", "ProcessGone", "web1:9100"))) // a relapse is not lost
	d.wantStatus(incident.Diagnosing, triage.JobInFlight)
}

func TestMeasurementFromBeforeTheRunProvesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	run := d.toApproval()
	d.post(body(d.alert("resolved", "ProcessGone", "web1:9100")))
	d.report(measured(d.next(job.Measure), expr.False))
	d.wantStatus(incident.AwaitingApproval, triage.SourceIsWrong)
	d.approve(run)
	d.report(ran(d.next(job.Run), runbooks.RunVerified)) // all at one moment of the clock
	d.report(measured(d.next(job.Measure), expr.True))
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
}

func TestPersonEscalatesWhileAJobIsInFlight(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	j := d.toRun()
	d.must(d.app.people.Escalate(t.Context(), "1", "ada", "I want to see this"))
	d.settle()
	d.clock.advance(time.Second)
	d.report(ran(j, runbooks.RunVerified))
	d.report(measured(d.next(job.Measure), expr.True))
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	if n := len(d.box.of(kindEscalated)); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestMessageIsNotSentTwiceAndARefusedOneIsNotTriedForEver(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.box.answer(fault.New(fault.Unreachable, "the mail server is away"))
	d.post(body(d.alert("firing", "Nonsense", "unknown-host")))
	if len(d.box.of(kindEscalated)) != 0 {
		t.Fatal("sent")
	}
	d.box.answer(nil)
	for range 5 {
		d.wait(time.Minute)
	}
	if n := len(d.box.of(kindEscalated)); n != 1 {
		t.Errorf("sent %d times", n)
	}
	d.box.answer(fault.New(fault.Denied, "bad password"))
	d.must(d.app.people.Escalate(t.Context(), "1", "ada", ""))
	d.settle()
	d.box.answer(nil)
	d.wait(time.Hour)
	if n := len(d.box.of(kindEscalated)); n != 1 {
		t.Errorf("sent %d times", n)
	}
	if !strings.Contains(d.story(d.the().ID), "bad password") {
		t.Error("the timeline does not say that nobody was told")
	}
}

func TestOneChannelThatIsAwayMakesNoOtherTellTwice(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	pager := &mailbox{name: "pager", refuse: fault.New(fault.Timeout, "no answer")}
	d.change(func(s *Settings) { s.Channels = []notify.Sender{pager, d.box} })
	d.post(body(d.alert("firing", "Nonsense", "unknown-host")))
	for range 3 {
		d.wait(time.Minute)
	}
	pager.answer(nil)
	d.wait(10 * time.Minute)
	if a, b := len(d.box.of(kindEscalated)), len(pager.of(kindEscalated)); a != 1 || b != 1 {
		t.Errorf("told %d and %d times", a, b)
	}
	if got := d.the().Escalation.Notified; !slices.Equal(got, []string{"mailbox", "pager"}) {
		t.Errorf("notified %v", got)
	}
}

func TestBundleThatCannotBeWrittenKeepsNoMessageBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(os.WriteFile(filepath.Join(d.dir, "bundles"), nil, 0o600)) // in the way of the folder
	d.post(body(d.alert("firing", "Nonsense", "unknown-host")))
	in := d.the()
	if in.Escalation.BundleErr == "" || len(d.box.of(kindEscalated)) != 1 {
		t.Errorf("escalation %+v, %d calls", in.Escalation, len(d.box.of(kindEscalated)))
	}
}

// TestClockSetBackStallsNothing: a clock a day ahead has left due times that
// would not come before tomorrow.
func TestClockSetBackStallsNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(d.app.watchClock(t.Context()))
	d.clock.advance(24 * time.Hour)
	d.must(d.app.watchClock(t.Context()))
	d.post(body(d.alert("firing", "ProcessGone", "web1:9100")))
	d.clock.advance(-24 * time.Hour)
	if jobs, err := d.app.o.Store.ClaimJobs(t.Context(), agentQueue("web1"), "agent", d.clock.now(), d.clock.now().Add(time.Second), 1); err != nil || len(jobs) > 0 {
		t.Fatalf("the story is not that of a clock set back: %v, %v", jobs, err)
	}
	d.must(d.app.watchClock(t.Context()))
	d.settle()
	if j := d.next(job.Diagnose); j.Kind != job.Diagnose {
		t.Errorf("got %+v", j)
	}
}

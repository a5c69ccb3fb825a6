package controller

import (
	"strconv"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/limits"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

const actorSelf = "secondline"

// busyRetry is how soon a run is tried again whose target another run holds.
const busyRetry = 5 * time.Second

// act orders what was decided. It is the only place where an incident's status
// changes by itself.
func (t *turn) act(d triage.Decision) error {
	switch d.Action {
	case triage.Diagnose:
		return t.diagnose(d)
	case triage.Plan:
		return t.plan(d)
	case triage.AwaitApproval:
		return t.awaitApproval(d)
	case triage.Remediate:
		return t.remediate(d)
	case triage.Verify:
		if err := t.become(incident.Verifying, d); err != nil || d.Key == "" {
			return err // without a key nothing can be measured; what then counts is decided next
		}
		return t.orderMeasurement(d.Key)
	case triage.Measure:
		return t.orderMeasurement(d.Key)
	case triage.GiveUpOn:
		return t.giveUpOn(d)
	case triage.Resolve:
		return t.resolve(d)
	case triage.Escalate:
		return t.escalate(d)
	case triage.Close:
		return t.become(incident.Closed, d)
	case triage.Wait:
		return nil
	}
	return fault.New(fault.Internal, "decision %q is not known", d.Action)
}

func (t *turn) become(next incident.Status, d triage.Decision) error {
	text := d.Reason.Sentence()
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	return t.in.Become(next, t.at, actorSelf, string(d.Reason), text)
}

func (t *turn) diagnose(d triage.Decision) error {
	relapse := t.in.Status == incident.Resolved
	if err := t.become(incident.Diagnosing, d); err != nil {
		return err
	}
	if relapse {
		t.in.Failures, t.in.Stale = 0, true
		return nil // decided anew, since nobody may reach the host any more
	}
	if d.Reason == triage.AgentArrived {
		t.in.Failures = 0 // the failures were those of an agent that is not there any more
	}
	return t.orderDiagnosis()
}

func (t *turn) plan(d triage.Decision) error {
	run := t.in.FindRun(d.RunID)
	if run == nil {
		ref := &incident.HypothesisRef{}
		if h := d.Hypothesis; h != nil {
			ref = &incident.HypothesisRef{Cause: h.Cause, Entity: h.Entity, Object: h.Object, Band: h.Band, Evidence: map[string]expr.Truth{}}
			for _, list := range [][]diagnostics.Evidence{h.For, h.Against, h.CannotTell} {
				for _, e := range list {
					ref.Evidence[e.ID] = e.Truth
				}
			}
		}
		t.in.Runs = append(t.in.Runs, incident.Run{
			ID: "run-" + t.newID(), Runbook: d.Runbook, Target: t.hostID(), Key: d.Key, Hypothesis: ref,
			Inputs: map[string]string{}, RequestedBy: actorSelf, Status: runbooks.RunPlanned, Decisions: []incident.Approval{},
		})
		run = &t.in.Runs[len(t.in.Runs)-1]
	}
	if why := t.cannotRun(run); why != "" {
		t.rule(run, runbooks.RunRefused, why)
		return nil
	}
	return t.orderPlan(run)
}

// cannotRun says what a reload, or a revoked agent, has taken away from a run.
func (t *turn) cannotRun(run *incident.Run) string {
	if _, ok := t.world.Catalogue.RunbookDocument(run.Runbook); !ok {
		return "runbook " + run.Runbook + " is not in the catalogue any more"
	}
	host, ok := t.world.Inventory.Find(run.Target)
	if !ok {
		return "target " + run.Target + " is not in the inventory any more"
	}
	if agent := inventory.AgentFor(host); !t.world.Enrolled(agent) {
		return "agent " + agent + ", which reaches " + run.Target + ", is not enrolled"
	}
	return ""
}

func (t *turn) awaitApproval(d triage.Decision) error {
	if err := t.become(incident.AwaitingApproval, d); err != nil {
		return err
	}
	run := t.in.FindRun(d.RunID)
	run.Status, run.AskedAt = runbooks.RunWaiting, t.at
	return t.tell(kindApprovalWanted, "approval/"+run.ID)
}

func (t *turn) remediate(d triage.Decision) error {
	run := t.in.FindRun(d.RunID)
	if why := t.cannotRun(run); why != "" {
		t.rule(run, runbooks.RunRefused, why)
		return limits.Release(t.ctx, t.tx, run.ID)
	}
	if err := t.become(incident.Remediating, d); err != nil {
		return err
	}
	run.Status, run.StartedAt = runbooks.RunRunning, t.at
	return t.orderRun(run, d.By)
}

// giveUpOn notes that a cure did not help and has the host looked at again,
// since it is no longer as the diagnosis found it.
func (t *turn) giveUpOn(d triage.Decision) error {
	run := t.in.FindRun(d.RunID)
	if run != nil {
		outcome := string(run.Status)
		run.Judged = true
		if run.Status == runbooks.RunVerified { // each step did what it should, and the symptom is still there
			outcome = string(runbooks.RunRefuted)
		}
		t.in.Tried = append(t.in.Tried, incident.Tried{Key: run.Key, Runbook: run.Runbook, Outcome: outcome, Why: d.Detail, At: t.at})
		if err := limits.Release(t.ctx, t.tx, run.ID); err != nil {
			return err
		}
	}
	t.in.Stale, t.in.Measured = true, nil
	return t.become(incident.Diagnosing, d)
}

func (t *turn) resolve(d triage.Decision) error {
	if run := t.in.CurrentRun(); run != nil {
		t.end(run, runbooks.RunCancelled, "the incident was resolved")
	}
	if err := t.releaseSettled(); err != nil {
		return err
	}
	if err := t.become(incident.Resolved, d); err != nil {
		return err
	}
	t.judgeRuns()
	t.in.Unverified = d.Unverified
	t.in.Resolution = d.Reason.Sentence()
	if d.Detail != "" {
		t.in.Resolution += ": " + d.Detail
	}
	return t.tell(kindResolved, "resolved/"+strconv.FormatInt(t.in.Seq, 10))
}

// judgeRuns says of all runs that nothing more follows from them.
func (t *turn) judgeRuns() {
	for i := range t.in.Runs {
		t.in.Runs[i].Judged = true
	}
}

// releaseSettled gives back what runs hold of which it is known how they ended.
// What may still be changing its target, or may have changed it, keeps it
// locked until the lock ends by itself.
func (t *turn) releaseSettled() error {
	for _, run := range t.in.Runs {
		if run.Status == runbooks.RunRunning || run.Status == runbooks.RunUnknown {
			continue
		}
		if err := limits.Release(t.ctx, t.tx, run.ID); err != nil {
			return err
		}
	}
	return nil
}

// escalate calls a person. The bundle is written by a worker after the commit;
// the messages go out when it is there.
func (t *turn) escalate(d triage.Decision) error {
	if w := t.in.Work; w != nil {
		w.Warned = true
	}
	if err := t.releaseSettled(); err != nil {
		return err
	}
	if err := t.become(incident.Escalated, d); err != nil {
		return err
	}
	reason := d.Reason.Sentence()
	if d.Detail != "" {
		reason += ": " + d.Detail
	}
	return t.callPerson(actorSelf, d.Reason, reason)
}

// callPerson has the bundle written. The one of an earlier call stays until then.
func (t *turn) callPerson(actor string, reason triage.Reason, text string) error {
	next := &incident.Escalation{Reason: text, Named: string(reason), At: t.at, Notified: []string{}, NoChannel: t.world.Channels == 0}
	if last := t.in.Escalation; last != nil {
		next.Bundle = last.Bundle
	}
	t.in.Escalation = next
	t.in.Note(t.at, actor, incident.EventEscalation, string(reason), next.Told()+": "+text, nil)
	return t.orderBundle()
}

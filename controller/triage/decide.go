// Package triage decides what happens next to an incident: facts in, one
// decision with a named reason out. It does nothing, knows no store and no
// clock, and gives the same answer for the same situation.
//
// The one thing to know: the rules stand in Decide, one function per status,
// in the order in which an incident lives.
package triage

import (
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

// Action is what is to be done.
type Action string

// The actions.
const (
	Diagnose      Action = "diagnose"       // send an agent to look
	Plan          Action = "plan"           // read what a runbook would change
	AwaitApproval Action = "await_approval" // ask a person
	Remediate     Action = "remediate"      // carry out the plan
	Verify        Action = "verify"         // measure the symptom after a cure
	Measure       Action = "measure"        // measure the symptom without leaving the status
	GiveUpOn      Action = "give_up_on"     // a cure did not help: note it and diagnose again
	Resolve       Action = "resolve"
	Escalate      Action = "escalate"
	Close         Action = "close"
	Wait          Action = "wait" // until LookAt, or something new
)

// Decision is what happens next, and why.
type Decision struct {
	Action     Action
	Reason     Reason
	Detail     string // what in particular, for people
	Hypothesis *diagnostics.Hypothesis
	Key        string // HypothesisKey to plan for, to measure, or to give up on
	Runbook    string
	RunID      string
	By         []string // who approved or granted, for Remediate
	Unverified bool
	LookAt     time.Time // for Wait: when to look again; zero means only when something new comes in
}

// Catalogue answers what a decision must know of causes and runbooks.
type Catalogue interface {
	// Cures reports whether the runbook exists and is for the cause.
	Cures(runbook, cause string) bool
	// Measurable reports whether the cause says how its symptom is measured.
	Measurable(cause string) bool
}

// Situation is everything a decision depends on.
type Situation struct {
	Incident  *incident.Incident
	HasAgent  bool // an enrolled agent reaches the entity
	Askable   bool // the expressions of all its alerts can be asked again
	Catalogue Catalogue
	Policy    Policy
	Now       time.Time
}

// Decide returns what happens next.
func Decide(s Situation) Decision {
	d := s.decide()
	if s.HasAgent || !needsAgent(d) {
		return d
	}
	switch s.Incident.Status {
	case incident.Resolved: // the relapse is real, whoever reaches the host: diagnosing says that nobody does
		return d
	case incident.Escalated: // a person was called already
		return Decision{Action: Wait, Reason: NoAgent, Detail: s.Incident.Entity}
	case incident.New, incident.Diagnosing, incident.AwaitingApproval, incident.Remediating, incident.Verifying,
		incident.Closed, incident.Suppressed, incident.Merged:
	}
	return Decision{Action: Escalate, Reason: NoAgent, Detail: s.Incident.Entity}
}

// needsAgent reports whether the decision is work for the agent of the
// incident's host. The one that was there may be gone: revoked, or its host
// taken out of the inventory. A run has a target of its own, and who orders it
// looks whether that can be reached.
func needsAgent(d Decision) bool {
	switch d.Action {
	case Verify, Measure:
		return d.Key != incident.ByAlerts
	case Diagnose:
		return true
	case Plan:
		return d.RunID == ""
	case Remediate, AwaitApproval, GiveUpOn, Resolve, Escalate, Close, Wait:
		return false
	}
	return false
}

func (s Situation) decide() Decision {
	in := s.Incident
	if in.Work != nil {
		return s.awaitReport()
	}
	switch in.Status {
	case incident.New:
		return s.fromNew()
	case incident.Diagnosing:
		return s.fromDiagnosing()
	case incident.AwaitingApproval:
		return s.fromAwaitingApproval()
	case incident.Remediating:
		return s.fromRemediating()
	case incident.Verifying:
		return s.fromVerifying()
	case incident.Escalated:
		return s.fromEscalated()
	case incident.Resolved:
		return s.fromResolved()
	case incident.Closed, incident.Suppressed, incident.Merged:
		return Decision{Action: Wait, Reason: NothingToDo}
	}
	return Decision{Action: Wait, Reason: NothingToDo}
}

// awaitReport waits for the job in flight. A silent agent is escalated once;
// its report is still welcome later.
func (s Situation) awaitReport() Decision {
	w := s.Incident.Work
	if run := s.Incident.FindRun(w.RunID); run != nil && run.Paused != "" {
		return Decision{Action: Wait, Reason: RunPaused, Detail: run.Paused}
	}
	if w.Key == incident.ByAlerts {
		return s.awaitAnswer()
	}
	overdue := w.Deadline.Add(s.Policy.ReportGrace)
	if s.Now.Before(overdue) || w.Warned {
		d := Decision{Action: Wait, Reason: JobInFlight, Detail: w.Kind + " by agent " + w.Agent}
		if !w.Warned {
			d.LookAt = overdue
		}
		return d
	}
	return Decision{Action: Escalate, Reason: AgentSilent, Detail: fmt.Sprintf("agent %s, %s since %s", w.Agent, w.Kind, w.Since.UTC().Format(time.RFC3339))}
}

// awaitAnswer waits for what the controller does itself. Its queue is worked off
// by whichever runs, so that only a lost job comes to the end of its time.
func (s Situation) awaitAnswer() Decision {
	w := s.Incident.Work
	switch {
	case w.Warned:
		return Decision{Action: Wait, Reason: JobInFlight, Detail: w.Kind}
	case s.Now.Before(w.Deadline):
		return Decision{Action: Wait, Reason: JobInFlight, Detail: w.Kind, LookAt: w.Deadline}
	}
	return Decision{Action: Escalate, Reason: CannotVerify, Detail: "nobody asked for the alerts since " + w.Since.UTC().Format(time.RFC3339)}
}

func (s Situation) fromNew() Decision {
	if s.Incident.Entity == "" {
		return Decision{Action: Escalate, Reason: EntityUnknown}
	}
	return Decision{Action: Diagnose, Reason: NewIncident}
}

func (s Situation) fromDiagnosing() Decision {
	in := s.Incident
	if run := in.CurrentRun(); run != nil {
		switch {
		case run.Plan == nil:
			return Decision{Action: Plan, Reason: RunRequested, RunID: run.ID, Runbook: run.Runbook}
		case run.Status == runbooks.RunRunning: // and nobody reports on it any more
			return Decision{Action: Escalate, Reason: OutcomeUnknown, RunID: run.ID, Runbook: run.Runbook}
		}
		return s.weighPlan(run)
	}
	switch {
	case len(in.Symptoms) == 0: // a person's run, and it is over
		return runEnded(in)
	case in.Failures >= s.Policy.MaxFailures:
		return Decision{Action: Escalate, Reason: CannotDiagnose, Detail: in.LastFailure}
	case in.Failures > 0 && s.Now.Before(s.retryAt()):
		return Decision{Action: Wait, Reason: TryAgainLater, Detail: in.LastFailure, LookAt: s.retryAt()}
	case in.Stale:
		return Decision{Action: Diagnose, Reason: WorldChanged}
	case in.Diagnosis == nil:
		return Decision{Action: Diagnose, Reason: NewIncident}
	}
	if d, told := s.sourceResolved(); told {
		return d
	}
	return s.chooseCure()
}

// retryAt is when work that failed is tried again.
func (s Situation) retryAt() time.Time { return s.Incident.FailedAt.Add(s.Policy.RetryAfter) }

func (s Situation) fromEscalated() Decision {
	in := s.Incident
	if late, ok := s.lateReport(); ok {
		return late
	}
	d, told := s.sourceResolved()
	if told && d.Action == Resolve {
		return d
	}
	if run := in.CurrentRun(); run != nil && run.Plan != nil && run.Status != runbooks.RunRunning {
		plan := s.weighPlan(run)
		if plan.Reason == PlanApproved {
			return plan
		}
		if run.Status == runbooks.RunPlanned && (plan.Action == AwaitApproval || plan.Action == Remediate) {
			// The plan came after the call. Whoever was called may say yes to it;
			// unattended work beside a person is out of the question.
			return Decision{Action: AwaitApproval, Reason: NeedsApproval, RunID: run.ID, Runbook: run.Runbook, Key: run.Key}
		}
	}
	if told && d.Action != Escalate {
		return d
	}
	if s.agentArrived() {
		return Decision{Action: Diagnose, Reason: AgentArrived, Detail: in.Entity}
	}
	reason := WaitingForPerson
	if s.sourceIsWrong() {
		reason = SourceIsWrong
	}
	if later, ok := s.askLater(reason); ok {
		return later
	}
	return Decision{Action: Wait, Reason: reason}
}

// agentArrived reports whether a person was needed only because nobody could
// look at the host, and now somebody can.
func (s Situation) agentArrived() bool {
	e := s.Incident.Escalation
	return s.HasAgent && e != nil && e.Named == string(NoAgent) && s.Incident.CurrentRun() == nil
}

// lateReport goes on with a run whose agent was silent, or whose incident a
// person took over, and that turns out to have been verified.
func (s Situation) lateReport() (Decision, bool) {
	in, run := s.Incident, lastRun(s.Incident)
	if run == nil || run.Judged || run.Status != runbooks.RunVerified {
		return Decision{}, false
	}
	if len(in.Symptoms) == 0 {
		return runEnded(in), true
	}
	key := s.way(s.proofKey(run), run.EndedAt)
	if key == "" || key == incident.ByAlerts && in.Escalation != nil && in.Escalation.Named == string(CannotVerify) {
		return Decision{}, false // whoever was called for want of an answer is not called for it again
	}
	if m := in.Measured; m != nil && m.Key == key && !m.At.Before(run.EndedAt) {
		switch m.Gone {
		case expr.True:
			return Decision{Action: Resolve, Reason: MeasuredGone, Detail: m.Text}, true
		case expr.False:
			return Decision{}, false
		case expr.CannotTell:
		}
	}
	d := s.measureAgain(Verify, RunVerified, key, run.EndedAt)
	return d, d.Action != Escalate
}

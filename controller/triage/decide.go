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
	By         string // who approved or granted, for Remediate
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
	Catalogue Catalogue
	Policy    Policy
	Now       time.Time
}

// Decide returns what happens next.
func Decide(s Situation) Decision {
	d := s.decide()
	if s.HasAgent || !needsAgent(d.Action) {
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

// needsAgent reports whether the action is work for an agent. The one that was
// there may be gone: revoked, or its host taken out of the inventory.
func needsAgent(a Action) bool {
	switch a {
	case Diagnose, Plan, Remediate, Verify, Measure:
		return true
	case AwaitApproval, GiveUpOn, Resolve, Escalate, Close, Wait:
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
		return Decision{Action: Resolve, Reason: RunEnded, Detail: runOutcome(in)}
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

// runOutcome says how the last run ended.
func runOutcome(in *incident.Incident) string {
	run := lastRun(in)
	if run == nil {
		return "nothing was run"
	}
	if run.DryRun && run.Plan != nil {
		return "dry run: the plan was made and nothing was changed"
	}
	text := run.Runbook + ": " + string(run.Status)
	if run.Result != nil && run.Result.Why != "" {
		text += ", " + run.Result.Why
	}
	return text
}

// chooseCure takes the first hypothesis that was not tried. It never reaches
// past a sure cause without a cure to a less sure one with a cure.
func (s Situation) chooseCure() Decision {
	in := s.Incident
	tried := false
	for i := range in.Diagnosis.Hypotheses {
		h := &in.Diagnosis.Hypotheses[i]
		if h.Band != diagnostics.Confirmed && h.Band != diagnostics.Likely {
			break
		}
		key := incident.HypothesisKey(h.Cause, h.Entity, h.Object)
		if _, ok := in.FindTried(key); ok {
			tried = true
			continue
		}
		return s.cureFor(h, key)
	}
	if tried {
		return Decision{Action: Escalate, Reason: CuresExhausted}
	}
	return Decision{Action: Escalate, Reason: CauseUnknown, Detail: in.Diagnosis.Why}
}

func (s Situation) cureFor(h *diagnostics.Hypothesis, key string) Decision {
	found := Decision{Hypothesis: h, Key: key, Detail: h.Title}
	runbook := ""
	for _, name := range h.Cures {
		if s.Catalogue.Cures(name, h.Cause) {
			runbook = name
			break
		}
	}
	level, _ := s.Policy.granted(runbook, h.Entity, s.Now)
	switch {
	case runbook == "":
		found.Action, found.Reason = Escalate, NoCure
	case attempts(s.Incident) >= s.Policy.MaxAttempts:
		found.Action, found.Reason = Escalate, AttemptsExhausted
	case rank(level) <= rank(runbooks.Observe):
		found.Action, found.Reason = Escalate, PolicyObserve
	default:
		found.Action, found.Reason, found.Runbook = Plan, CureFound, runbook
	}
	return found
}

// attempts counts the runs that changed something, or may have.
func attempts(in *incident.Incident) int {
	n := 0
	for _, r := range in.Runs {
		if r.Result != nil && r.Status != runbooks.RunRefused && r.Status != runbooks.RunFailed {
			n++
		}
	}
	return n
}

// retryAt is when work that failed is tried again.
func (s Situation) retryAt() time.Time { return s.Incident.FailedAt.Add(s.Policy.RetryAfter) }

// weighPlan decides whether a plan may be carried out.
func (s Situation) weighPlan(run *incident.Run) Decision {
	d := Decision{RunID: run.ID, Runbook: run.Runbook, Key: run.Key}
	if by, ok := approvedBy(run); ok {
		d.Action, d.Reason, d.By = Remediate, PlanApproved, by
		return d
	}
	band := diagnostics.Possible
	if run.Hypothesis != nil {
		band = run.Hypothesis.Band
	}
	level, by := s.Policy.LevelFor(run.Plan, band, s.Now)
	switch level {
	case runbooks.Auto:
		d.Action, d.Reason, d.By = Remediate, AllowedByPolicy, "policy:"+by
	case runbooks.Approve:
		d.Action, d.Reason = AwaitApproval, NeedsApproval
	case runbooks.Suggest:
		d.Action, d.Reason = Escalate, PolicySuggest
	case runbooks.Observe:
		d.Action, d.Reason = Escalate, PolicyObserve
	}
	if d.Action == "" { // an unknown level is below them all
		d.Action, d.Reason = Escalate, PolicyObserve
	}
	return d
}

// approvedBy returns who approved exactly the plan that the run has now.
func approvedBy(run *incident.Run) (string, bool) {
	for _, a := range run.Decisions {
		if a.Approved && run.Plan != nil && a.PlanDigest == run.Plan.Digest {
			return a.By, true
		}
	}
	return "", false
}

func (s Situation) fromAwaitingApproval() Decision {
	run := s.Incident.CurrentRun()
	if run == nil || run.Plan == nil {
		return Decision{Action: GiveUpOn, Reason: WorldChanged}
	}
	gone, told := s.sourceResolved()
	if told && gone.Action == Resolve { // nothing is cured that is over, approved or not
		return gone
	}
	if d := s.weighPlan(run); d.Action == Remediate {
		return d
	}
	if told {
		return gone
	}
	until := run.AskedAt.Add(s.Policy.ApprovalTimeout)
	if !s.Now.Before(until) {
		return Decision{Action: Escalate, Reason: ApprovalTimedOut, RunID: run.ID, Runbook: run.Runbook}
	}
	reason := WaitingForApproval
	if s.sourceIsWrong() {
		reason = SourceIsWrong
	}
	return Decision{Action: Wait, Reason: reason, RunID: run.ID, LookAt: until}
}

func (s Situation) fromRemediating() Decision {
	run := lastRun(s.Incident)
	if run == nil {
		return Decision{Action: GiveUpOn, Reason: WorldChanged}
	}
	d := Decision{RunID: run.ID, Key: run.Key, Runbook: run.Runbook}
	if run.Result == nil {
		d.Action, d.Reason = Escalate, OutcomeUnknown
		return d
	}
	d.Detail = run.Result.Why
	switch run.Result.Status {
	case runbooks.RunVerified:
		d.Action, d.Reason, d.Key = Verify, RunVerified, s.proofKey(run)
	case runbooks.RunRefuted, runbooks.RunUndone, runbooks.RunFailed, runbooks.RunRefused, runbooks.RunRejected, runbooks.RunCancelled:
		d.Action, d.Reason = GiveUpOn, RunNotVerified
	case runbooks.RunUnknown, runbooks.RunPlanned, runbooks.RunWaiting, runbooks.RunRunning:
		d.Action, d.Reason = Escalate, OutcomeUnknown
	}
	if d.Action == "" { // a status that is not known says nothing about what happened
		d.Action, d.Reason = Escalate, OutcomeUnknown
	}
	if hasStuckStep(run.Result) {
		d.Action, d.Reason = Escalate, UndoStuck
	}
	return d
}

// proofKey is the hypothesis whose symptom proves that a run helped: the one
// that it was to cure, or, for a run that a person started, the best one that
// may be acted on. "" when nothing can be measured.
func (s Situation) proofKey(run *incident.Run) string {
	if s.measurable(run.Key) {
		return run.Key
	}
	if run.Key != "" || s.Incident.Diagnosis == nil {
		return ""
	}
	for _, h := range s.Incident.Diagnosis.Hypotheses {
		sure := h.Band == diagnostics.Confirmed || h.Band == diagnostics.Likely
		if sure && h.Explains && s.Catalogue.Measurable(h.Cause) {
			return incident.HypothesisKey(h.Cause, h.Entity, h.Object)
		}
	}
	return ""
}

func hasStuckStep(r *runbooks.RunResult) bool {
	for _, step := range r.Steps {
		if step.Status == runbooks.StepStuck {
			return true
		}
	}
	return false
}

func lastRun(in *incident.Incident) *incident.Run {
	if len(in.Runs) == 0 {
		return nil
	}
	return &in.Runs[len(in.Runs)-1]
}

// fromVerifying waits for proof. Without a way to measure, the source's word
// that it is over, held for a while, closes it as unverified.
func (s Situation) fromVerifying() Decision {
	in := s.Incident
	run := lastRun(in)
	if run != nil && len(in.Symptoms) == 0 { // a person's run: its own verification is the proof
		return Decision{Action: Resolve, Reason: RunEnded, Detail: runOutcome(in)}
	}
	key := ""
	if run != nil {
		key = s.proofKey(run)
	}
	if key == "" {
		if d, told := s.sourceResolved(); told {
			return d
		}
		if run != nil && s.Now.Before(run.EndedAt.Add(s.Policy.UnverifiedHold)) {
			return Decision{Action: Wait, Reason: RunVerified, LookAt: run.EndedAt.Add(s.Policy.UnverifiedHold)}
		}
		return Decision{Action: Escalate, Reason: CannotVerify, Detail: "nothing says how this symptom is measured"}
	}
	m := in.Measured
	if m == nil || m.Key != key || m.At.Before(run.EndedAt) {
		return s.measureAgain(Verify, RunVerified, key)
	}
	switch m.Gone {
	case expr.True:
		return Decision{Action: Resolve, Reason: MeasuredGone, Detail: m.Text}
	case expr.False:
		return Decision{Action: GiveUpOn, Reason: StillThere, Key: key, RunID: run.ID, Detail: m.Text}
	case expr.CannotTell:
	}
	return s.measureAgain(Verify, CannotVerify, key)
}

// measureAgain asks for a measurement, unless too many gave no answer.
func (s Situation) measureAgain(a Action, why Reason, key string) Decision {
	in := s.Incident
	if in.Failures >= s.Policy.MaxFailures {
		return Decision{Action: Escalate, Reason: CannotVerify, Key: key, Detail: in.LastFailure}
	}
	if in.Failures > 0 && s.Now.Before(s.retryAt()) {
		return Decision{Action: Wait, Reason: TryAgainLater, Detail: in.LastFailure, LookAt: s.retryAt()}
	}
	return Decision{Action: a, Reason: why, Key: key}
}

// sourceResolved handles "the source says resolved" in a status in which work
// goes on. told is false when it changes nothing.
func (s Situation) sourceResolved() (d Decision, told bool) {
	in := s.Incident
	since := in.SourceResolvedAt()
	if since.IsZero() {
		return Decision{}, false
	}
	key := s.symptomKey()
	if key == "" {
		if until := since.Add(s.Policy.UnverifiedHold); s.Now.Before(until) {
			return Decision{Action: Wait, Reason: SourceSaysResolved, LookAt: until}, true
		}
		return Decision{Action: Resolve, Reason: HeldUnverified, Unverified: true}, true
	}
	if m := in.Measured; m != nil && m.Key == key && !m.At.Before(since) {
		switch m.Gone {
		case expr.True:
			return Decision{Action: Resolve, Reason: GoneByItself, Detail: m.Text}, true
		case expr.False:
			return Decision{}, false // the source is wrong: go on
		case expr.CannotTell:
			if in.Failures >= s.Policy.MaxFailures {
				return Decision{}, false // and never resolved by a guess
			}
		}
	}
	return s.measureAgain(Measure, SourceSaysResolved, key), true
}

// symptomKey is the hypothesis by whose predicate the symptom of this incident
// can be measured: the last one acted on, else the best one that explains it.
func (s Situation) symptomKey() string {
	in := s.Incident
	if run := lastRun(in); run != nil && s.measurable(run.Key) {
		return run.Key
	}
	if in.Diagnosis == nil {
		return ""
	}
	for _, h := range in.Diagnosis.Hypotheses {
		if h.Explains && h.Band != diagnostics.Unlikely && s.Catalogue.Measurable(h.Cause) {
			return incident.HypothesisKey(h.Cause, h.Entity, h.Object)
		}
	}
	return ""
}

func (s Situation) measurable(key string) bool {
	cause, _, _ := incident.SplitKey(key)
	return cause != "" && s.Catalogue.Measurable(cause)
}

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
	reason := WaitingForPerson
	if s.sourceIsWrong() {
		reason = SourceIsWrong
	}
	return Decision{Action: Wait, Reason: reason}
}

// sourceIsWrong reports whether the source says resolved and the host says no.
func (s Situation) sourceIsWrong() bool {
	since, m := s.Incident.SourceResolvedAt(), s.Incident.Measured
	return !since.IsZero() && m != nil && m.Gone == expr.False && !m.At.Before(since)
}

// lateReport goes on with a run whose agent was silent, or whose incident a
// person took over, and that turns out to have been verified.
func (s Situation) lateReport() (Decision, bool) {
	in, run := s.Incident, lastRun(s.Incident)
	if run == nil || run.Result == nil || run.Status != runbooks.RunVerified || in.Escalation == nil {
		return Decision{}, false
	}
	called := in.Escalation.At
	key := s.proofKey(run)
	m := in.Measured
	switch {
	case len(in.Symptoms) == 0:
		return Decision{Action: Resolve, Reason: RunEnded, Detail: runOutcome(in)}, true
	case key != "" && m != nil && m.Key == key && !m.At.Before(run.EndedAt):
		if m.Gone == expr.True && m.At.After(called) {
			return Decision{Action: Resolve, Reason: MeasuredGone, Detail: m.Text}, true
		}
		return Decision{}, false
	case key != "" && run.EndedAt.After(called):
		return Decision{Action: Verify, Reason: RunVerified, Key: key, RunID: run.ID, Runbook: run.Runbook}, true
	}
	return Decision{}, false
}

func (s Situation) fromResolved() Decision {
	in := s.Incident
	if firedAgain(in) {
		return Decision{Action: Diagnose, Reason: SymptomIsBack}
	}
	if until := in.ResolvedAt.Add(incident.ReopenWithin); s.Now.Before(until) {
		return Decision{Action: Wait, Reason: ResolvedRecently, LookAt: until}
	}
	return Decision{Action: Close, Reason: ResolvedLongEnough}
}

// echoOfFault is how long after a measured cure a source may go on saying
// "firing" for the same occurrence: Alertmanager repeats a group at its
// group_interval (5 min by default) until Prometheus has re-evaluated.
const echoOfFault = 6 * time.Minute

// firedAgain reports whether a signal came after the resolution that is not
// just the echo of the fault that was cured.
func firedAgain(in *incident.Incident) bool {
	for _, s := range in.Symptoms {
		if s.State != incident.Firing || !s.LastAt.After(in.ResolvedAt) {
			continue
		}
		if s.StartsAt.After(in.ResolvedAt) || s.Since.After(in.ResolvedAt) || s.LastAt.After(in.ResolvedAt.Add(echoOfFault)) {
			return true
		}
	}
	return false
}

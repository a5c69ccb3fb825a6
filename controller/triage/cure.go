package triage

import (
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/runbooks"
)

// runEnded ends an incident that was there for a run that a person asked for.
// One that failed has cured nothing, and is not counted as if it had.
func runEnded(in *incident.Incident) Decision {
	d := Decision{Action: Resolve, Reason: RunEnded, Detail: runOutcome(in)}
	if run := in.AskedRun(); run != nil && run.Missed() {
		d.Reason, d.Unverified = RunFailed, true
	}
	return d
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
		last := in.Tried[len(in.Tried)-1]
		return Decision{Action: Escalate, Reason: CuresExhausted, Detail: last.Runbook + ": " + last.Why}
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

// weighPlan decides whether a plan may be carried out.
func (s Situation) weighPlan(run *incident.Run) Decision {
	d := Decision{RunID: run.ID, Runbook: run.Runbook, Key: run.Key}
	if run.MissingApprovals() == 0 {
		d.Action, d.Reason, d.By = Remediate, PlanApproved, run.ApprovedBy()
		return d
	}
	band := diagnostics.Possible
	switch {
	case run.Hypothesis != nil:
		band = run.Hypothesis.Band
	case run.RequestedBy != "": // attended: a person asked for exactly this
		band = diagnostics.Confirmed
	}
	level, by := s.Policy.LevelFor(run.Plan, band, s.Now)
	switch level {
	case runbooks.Auto:
		d.Action, d.Reason, d.By = Remediate, AllowedByPolicy, []string{runbooks.ByPolicy + by}
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
	within := s.Policy.ApprovalTimeout
	if own := run.Plan.ApproveWithin; own > 0 {
		within = min(within, own)
	}
	until := run.AskedAt.Add(within)
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
		d.Action, d.Reason, d.Key = Verify, RunVerified, s.way(s.proofKey(run), run.EndedAt)
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

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/limits"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// Receive takes an agent's report. When it returns nil the report is stored
// with everything that follows from it, and the agent may forget it. The same
// report again is accepted again and changes nothing.
func (r *Reconciler) Receive(ctx context.Context, agent string, report job.Report) error {
	row, err := r.store.FindJob(ctx, report.JobID)
	if err != nil {
		return err
	}
	if row.Queue != agentQueue(agent) {
		return fault.New(fault.Denied, "job %s does not belong to agent %s", report.JobID, agent)
	}
	if row.Incident == "" {
		return fault.New(fault.Invalid, "job %s has no incident", report.JobID)
	}
	body, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("encode report %s: %w", report.JobID, err)
	}
	prefixFacts(&report)
	state := store.JobDone
	if report.Status == job.Failed || report.Status == job.Refused {
		state = store.JobFailed
	}
	return r.update(ctx, row.Incident, func(t *turn) error {
		ended, err := t.tx.FinishJob(ctx, report.JobID, report.Fence, state, summary(body), t.at)
		if err != nil || !ended {
			return err // ended before: already applied
		}
		if err := t.tx.SaveEvidence(ctx, t.in.ID, report.Facts); err != nil {
			return err
		}
		return t.apply(row, report)
	})
}

// maxStoredReport bounds what the job row keeps; the report's content is
// stored apart, as facts, events and runs.
const maxStoredReport = 4 << 10

func summary(body []byte) []byte {
	if len(body) > maxStoredReport {
		return []byte(`{"truncated":true}`)
	}
	return body
}

// prefixFacts makes fact ids unique within the incident: "3:disk.usage#1" is
// from the incident's third job.
func prefixFacts(r *job.Report) {
	n := r.JobID[strings.LastIndex(r.JobID, ".")+1:]
	r.Facts = slices.Clone(r.Facts) // the caller may hand in the same report again
	for i := range r.Facts {
		r.Facts[i].ID = n + ":" + r.Facts[i].ID
	}
	if r.Measurement != nil {
		m := *r.Measurement
		m.Facts = slices.Clone(m.Facts)
		for i, id := range m.Facts {
			m.Facts[i] = n + ":" + id
		}
		r.Measurement = &m
	}
}

// apply writes down what the report says. What follows from it is decided
// afterwards, by triage alone.
func (t *turn) apply(row store.Job, report job.Report) error {
	var sent job.Job
	if err := json.Unmarshal(row.Payload, &sent); err != nil {
		return fmt.Errorf("decode job %s: %w", row.ID, err)
	}
	work := t.in.Work
	current := work != nil && work.JobID == row.ID
	runID, key := runOf(t.in, row.ID), ""
	if current {
		runID, key = work.RunID, work.Key
		t.in.Work = nil
	}
	actor := "agent:" + report.Agent
	if report.Error != nil {
		t.in.Note(t.at, actor, incident.EventProblem, string(report.Error.Kind), report.Error.Message, report.Error)
	}
	switch sent.Kind {
	case job.Diagnose:
		if current {
			t.applyDiagnosis(sent, report)
		}
	case job.Measure:
		if current {
			t.applyMeasurement(key, report)
		}
	case job.Plan:
		t.applyPlan(runID, actor, sent, report)
	case job.Run:
		return t.applyRun(runID, actor, report)
	case job.Check:
		return fault.New(fault.Internal, "job %s: a check has no incident", row.ID)
	}
	return nil
}

// runOf finds the run that a late report is about.
func runOf(in *incident.Incident, jobID string) string {
	for _, run := range in.Runs {
		if run.JobID == jobID {
			return run.ID
		}
	}
	return ""
}

func (t *turn) fail(what string) {
	t.in.Failures++
	t.in.LastFailure, t.in.FailedAt = what, t.at
}

func problemText(r job.Report) string {
	if r.Error == nil {
		return string(r.Status)
	}
	return r.Error.Message
}

func (t *turn) applyDiagnosis(sent job.Job, report job.Report) {
	if report.Status != job.Done {
		t.fail(problemText(report))
		return
	}
	subject := diagnostics.Subject{Entity: sent.Target.Entity, Hints: sent.Diagnose.Hints, Alerts: sent.Diagnose.Alerts, Onset: sent.Diagnose.OnsetAt}
	d := diagnostics.Rank(t.world.Catalogue.Causes, report.Facts, subject)
	if !anyTells(report.Facts) {
		t.fail("not one probe could look at the host")
		return
	}
	t.in.Failures, t.in.Diagnosis, t.in.DiagnosedAt = 0, &d, t.at
	t.in.Note(t.at, "agent:"+report.Agent, incident.EventDiagnosis, bestBand(d), d.Why, map[string]string{
		"facts": strconv.Itoa(len(report.Facts)),
	})
}

func anyTells(facts []diagnostics.Fact) bool {
	for _, f := range facts {
		if f.Status.Tells() {
			return true
		}
	}
	return false
}

func bestBand(d diagnostics.Diagnosis) string {
	if d.Unknown || len(d.Hypotheses) == 0 {
		return "unknown"
	}
	return string(d.Hypotheses[0].Band)
}

func (t *turn) applyMeasurement(key string, report job.Report) {
	m := report.Measurement
	if report.Status != job.Done || m == nil {
		t.fail(problemText(report))
		return
	}
	at := t.at
	if at.Before(t.in.UpdatedAt) { // the clock was set back; what was measured last must not look older
		at = t.in.UpdatedAt
	}
	t.in.Measured = &incident.Measured{Key: key, Gone: m.Truth, Text: m.Text, Facts: m.Facts, At: at}
	t.in.Note(t.at, "agent:"+report.Agent, incident.EventMeasurement, string(m.Truth), m.Text, m)
	if m.Truth != expr.True && m.Truth != expr.False {
		t.in.Measured.Gone = expr.CannotTell
		t.fail(m.Text)
		return
	}
	t.in.Failures = 0
}

func (t *turn) applyPlan(runID, actor string, sent job.Job, report job.Report) {
	run := t.in.FindRun(runID)
	if run == nil || run.Status != runbooks.RunPlanned || run.Plan != nil {
		return
	}
	plan := report.Plan
	if report.Status != job.Done || plan == nil {
		t.rule(run, runbooks.RunFailed, problemText(report))
		return
	}
	if why := notAskedFor(run, sent, plan); why != "" {
		t.rule(run, runbooks.RunRefused, why)
		return
	}
	run.Plan = plan
	t.in.Note(t.at, actor, incident.EventPlan, "planned", fmt.Sprintf("%s would change %d steps on %s", run.Runbook, len(plan.Steps), run.Target),
		map[string]string{"digest": plan.Digest, "run": run.ID})
	switch {
	case plan.Refused != "":
		t.rule(run, runbooks.RunRefused, plan.Refused)
	case run.DryRun:
		run.EndedAt = t.at
		t.in.Note(t.at, actorSelf, incident.EventRun, string(run.Status), run.Runbook+": dry run, nothing was changed", map[string]string{"run": run.ID})
	}
}

// notAskedFor says what is wrong with a plan that is not for the job. What is
// reserved, granted and shown to people goes by the plan, so an agent must not
// be able to plan for another target, or under the name of another runbook.
func notAskedFor(run *incident.Run, sent job.Job, plan *runbooks.Plan) string {
	switch {
	case plan.Digest == "":
		return "the plan has no digest"
	case plan.Target != run.Target:
		return fmt.Sprintf("the plan is for target %q, not for %q", plan.Target, run.Target)
	case plan.Runbook != run.Runbook || sent.Plan == nil || plan.RunbookDigest != sent.Plan.Runbook.Digest:
		return "the plan is of another runbook than the one that was sent"
	case plan.WorstCase < 0 || plan.WorstCase > runbooks.MaxDeadline:
		return fmt.Sprintf("the plan's worst case of %s is no time that can be waited for", plan.WorstCase)
	}
	return ""
}

// rule ends a run that may not go on, so that the next hypothesis is looked at.
func (t *turn) rule(run *incident.Run, status runbooks.RunStatus, why string) {
	t.in.Tried = append(t.in.Tried, incident.Tried{Key: run.Key, Runbook: run.Runbook, Outcome: string(status), Why: why, At: t.at})
	t.end(run, status, why)
}

// end writes down how a run ended without an agent's report.
func (t *turn) end(run *incident.Run, status runbooks.RunStatus, why string) {
	run.Status, run.EndedAt = status, t.at
	t.in.Note(t.at, actorSelf, incident.EventRun, string(status), run.Runbook+": "+why, map[string]string{"run": run.ID})
}

func (t *turn) applyRun(runID, actor string, report job.Report) error {
	run := t.in.FindRun(runID)
	if run == nil {
		return nil
	}
	result := runbooks.RunResult{}
	if report.Run != nil {
		result = *report.Run
	} else {
		result = runbooks.RunResult{
			Why: problemText(report), Steps: []runbooks.StepResult{},
			StartedAt: report.Started, EndedAt: report.Ended, Status: statusWithoutResult(report.Status),
		}
		if run.Plan != nil {
			result.PlanDigest = run.Plan.Digest
		}
	}
	if !isOutcome(result.Status) {
		t.in.Note(t.at, actor, incident.EventProblem, "outcome", fmt.Sprintf("the run is said to have ended as %q, which is no end", result.Status), nil)
		result.Status = runbooks.RunUnknown
	}
	run.Result, run.Status, run.EndedAt = &result, result.Status, t.at
	for _, step := range result.Steps {
		t.in.Note(t.at, actor, incident.EventStep, string(step.Status), stepText(step), map[string]string{"run": run.ID, "step": step.ID})
	}
	t.in.Note(t.at, actor, incident.EventRun, string(result.Status), run.Runbook+": "+result.Why, map[string]string{"run": run.ID})
	t.in.Failures, t.in.Measured = 0, nil // what was measured before says nothing any more
	if t.in.Status != incident.Remediating && run.Status != runbooks.RunUnknown {
		return limits.Release(t.ctx, t.tx, run.ID) // the report came late
	}
	return nil
}

// isOutcome reports whether a run can have ended so.
func isOutcome(s runbooks.RunStatus) bool {
	switch s {
	case runbooks.RunVerified, runbooks.RunUndone, runbooks.RunRefuted, runbooks.RunUnknown,
		runbooks.RunRefused, runbooks.RunCancelled, runbooks.RunFailed:
		return true
	case runbooks.RunPlanned, runbooks.RunWaiting, runbooks.RunRunning, runbooks.RunRejected:
		return false
	}
	return false
}

// statusWithoutResult is how a run ended whose agent sent no details.
func statusWithoutResult(s job.Status) runbooks.RunStatus {
	switch s {
	case job.Refused:
		return runbooks.RunRefused
	case job.Failed:
		return runbooks.RunFailed
	case job.Done, job.Unknown:
		return runbooks.RunUnknown
	}
	return runbooks.RunUnknown
}

func stepText(s runbooks.StepResult) string {
	text := s.ID + " (" + s.Action + "): " + string(s.Status)
	if s.Changed != "" {
		text += ", " + s.Changed
	}
	if s.Error != "" {
		text += ", " + s.Error
	}
	if len(s.Measured) > 0 {
		text += "; measured " + strings.Join(s.Measured, "; ")
	}
	return text
}

// Progress shows what an agent is doing now. It is not stored: losing it loses
// nothing.
func (r *Reconciler) Progress(_ context.Context, _ string, e job.Event) {
	if r.progress != nil {
		r.progress(e)
	}
}

package bundle

import (
	"fmt"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/runbooks"
)

func actions(in *incident.Incident) []Action {
	out := []Action{}
	for i := range in.Runs {
		run := &in.Runs[i]
		if run.Result == nil {
			continue
		}
		a := Action{
			Run: run.ID, Runbook: run.Runbook, Target: run.Target, RequestedBy: run.RequestedBy, Decisions: decisions(run.Decisions),
			Status: string(run.Status), Why: run.Result.Why, StartedAt: run.Result.StartedAt.UTC(), EndedAt: run.Result.EndedAt.UTC(),
			PlanDigest: run.Result.PlanDigest, Before: before(in, run), After: after(in, run), Steps: []Step{},
		}
		planned := map[string]runbooks.PlannedStep{}
		if run.Plan != nil {
			a.Title, a.File = run.Plan.Title, "plans/"+safeName(run.ID)+".txt"
			for _, s := range run.Plan.Steps {
				planned[s.ID] = s
			}
		}
		for n, s := range run.Result.Steps {
			told := step(s, planned[s.ID])
			if len(s.Transcript) > 0 {
				told.Transcript = "transcripts/" + stepBase(run.ID, n, s.ID) + ".txt"
			}
			a.Steps = append(a.Steps, told)
		}
		out = append(out, a)
	}
	return out
}

func step(s runbooks.StepResult, plan runbooks.PlannedStep) Step {
	out := Step{
		ID: s.ID, Action: s.Action, Effect: string(s.Effect), Status: string(s.Status), Commands: []Command{}, Changed: s.Changed,
		Verify: plan.Verify, Measured: append([]string{}, s.Measured...), Undo: plan.Undo, Undone: s.Undone, Error: s.Error,
	}
	for _, e := range s.Transcript {
		out.Commands = append(out.Commands, Command{At: e.At.UTC(), Command: e.Command, As: e.As, ExitCode: e.ExitCode, Error: e.Error})
	}
	return out
}

func decisions(list []incident.Approval) []string {
	out := []string{}
	for _, d := range list {
		word := "rejected"
		if d.Approved {
			word = "approved"
		}
		text := fmt.Sprintf("%s %s at %s", d.By, word, clock(d.At))
		if d.Why != "" {
			text += ": " + d.Why
		}
		out = append(out, text)
	}
	return out
}

// before is what the evidence said of the hypothesis that the run was to cure.
func before(in *incident.Incident, run *incident.Run) Statement {
	if run.Key == "" || in.Diagnosis == nil {
		return cite("")
	}
	for _, h := range in.Diagnosis.Hypotheses {
		if incident.HypothesisKey(h.Cause, h.Entity, h.Object) == run.Key && len(h.For) > 0 {
			return cite(h.For[0].Text, h.For[0].Facts...)
		}
	}
	return cite("")
}

func after(in *incident.Incident, run *incident.Run) Statement {
	m := in.Measured
	if m == nil || m.Key != run.Key || m.At.Before(run.EndedAt) {
		return cite("")
	}
	return cite(measuredText(m), m.Facts...)
}

package api

import (
	"slices"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/runbooks"
)

// ProgressOf returns what agents do for the incident now. That there is a job
// is known from the incident; what its agent does, from what it said last.
func ProgressOf(in *incident.Incident, svc Reader) Progress {
	p := Progress{Incident: in.ID, Jobs: []JobProgress{}}
	if in.Work != nil {
		p.Jobs = append(p.Jobs, jobProgress(in, *in.Work, svc.Activity(in.Work.JobID)))
	}
	return p
}

func jobProgress(in *incident.Incident, w incident.Work, a job.Activity) JobProgress {
	out := JobProgress{
		ID: w.JobID, Kind: w.Kind, Agent: w.Agent, Target: in.Entity, Since: w.Since.UTC(), Deadline: w.Deadline.UTC(),
		Probes: convert(a.Probes, func(p job.PendingProbe) ProbeWait { return ProbeWait{p.Probe, p.Target, p.Since.UTC()} }),
	}
	var plan runbooks.Plan
	if run := in.FindRun(w.RunID); run != nil {
		out.Run, out.Runbook, out.Target = run.ID, run.Runbook, run.Target
		if run.Plan != nil {
			plan = *run.Plan
		}
	}
	if a.Step == "" {
		return out
	}
	step := StepProgress{
		ID: a.Step, Of: len(plan.Steps), Status: string(a.Status), TimeoutSeconds: a.Timeout.Seconds(), Command: a.Command,
		Output: list(a.Output), OutputCut: a.Cut, Since: a.Since.UTC(),
	}
	if at := slices.IndexFunc(plan.Steps, func(s runbooks.PlannedStep) bool { return s.ID == a.Step }); at >= 0 {
		step.Number, step.Action = at+1, plan.Steps[at].Action
	}
	out.Step = &step
	return out
}

// Doing says in words what the job is for.
func (j JobProgress) Doing() string {
	switch job.Kind(j.Kind) {
	case job.Diagnose:
		return "looking for the cause"
	case job.Measure:
		return "measuring the symptom"
	case job.Plan:
		return "planning"
	case job.Run:
		return "carrying out"
	case job.Check:
		return "checking"
	}
	return j.Kind
}

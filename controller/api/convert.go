package api

import (
	"cmp"
	"net/url"
	"time"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/runbooks"
)

// list makes a nil list an empty one: JSON never says null for it.
func list[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

func dict(in map[string]string) map[string]string {
	if in == nil {
		return map[string]string{}
	}
	return in
}

func convert[A, B any](in []A, one func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, one(a))
	}
	return out
}

// Summarise returns the incident as a list shows it.
func Summarise(in *incident.Incident) Summary {
	s := Summary{
		ID: in.ID, Number: in.Number, Title: in.Title, Status: string(in.Status), Severity: string(in.Severity), Priority: in.Priority,
		Entity: in.Entity, AckedBy: in.AckedBy, Unverified: in.Unverified,
		OpenedAt: in.OpenedAt.UTC(), UpdatedAt: in.UpdatedAt.UTC(), ResolvedAt: in.ResolvedAt.UTC(),
	}
	if run := in.AskedRun(); run != nil {
		s.RunStatus, s.DryRun = string(run.Status), in.OnlyDryRuns()
	}
	if d := in.Diagnosis; d != nil && len(d.Hypotheses) > 0 && d.Hypotheses[0].Band != diagnostics.Unlikely { // that is none
		s.Cause, s.Band = d.Hypotheses[0].Cause, string(d.Hypotheses[0].Band)
	}
	return s
}

// Describe returns the incident with everything known about it.
func Describe(in *incident.Incident, signals []incident.Signal) Incident {
	out := Incident{
		Summary: Summarise(in), OnsetAt: in.OnsetAt.UTC(), Resolution: in.Resolution, Seq: in.Seq,
		Signals: convert(signals, signalRef), Symptoms: symptoms(in.Symptoms, signals), Hints: dict(in.Hints), Hypotheses: []Hypothesis{}, NotLookedAt: []string{},
		Covers: []diagnostics.Cover{}, Unexplained: []string{}, Chain: []Link{}, Tried: convert(in.Tried, tried), Runs: []Run{}, Approvals: []Approval{}, Tickets: []Ticket{}, Jobs: []JobProgress{},
	}
	out.TruncatedAlerts = in.TruncatedAlerts
	if d := in.Diagnosis; d != nil {
		out.Why, out.NotLookedAt, out.Hypotheses = d.Why, list(d.NotLookedAt), convert(d.Hypotheses, hypothesis)
		out.Covers, out.Unexplained = list(d.Covers), list(d.Unexplained)
	}
	for i := range in.Runs {
		out.Runs = append(out.Runs, DescribeRun(in, &in.Runs[i]))
		out.Approvals = append(out.Approvals, approvals(&in.Runs[i])...)
	}
	if m := in.Measured; m != nil {
		out.Measured = &Measured{Gone: string(m.Gone), Text: m.Text, Facts: list(m.Facts), At: m.At.UTC()}
	}
	if e := in.Escalation; e != nil {
		out.Escalation = &Escalation{Reason: e.Reason, Named: e.Named, Told: e.Told(), Notified: list(e.Notified), At: e.At.UTC()}
		if e.Bundle != "" || e.Together { // then it is written when asked for
			out.BundleURL = "/v1/incidents/" + url.PathEscape(in.ID) + "/bundle"
		}
	}
	return out
}

func signalRef(s incident.Signal) SignalRef {
	return SignalRef{ID: s.ID, Source: s.Source, State: string(s.State), Title: s.Title, Action: string(s.Action), ReceivedAt: s.ReceivedAt.UTC()}
}

// symptoms adds what the last signal of each said and named.
func symptoms(in []incident.Symptom, signals []incident.Signal) []Symptom {
	byID := make(map[string]incident.Signal, len(signals))
	for _, s := range signals {
		byID[s.ID] = s
	}
	return convert(in, func(s incident.Symptom) Symptom {
		last := byID[s.Signal]
		return Symptom{
			Source: s.Source, Title: s.Title, State: string(s.State), Signal: s.Signal, Count: s.Count, Link: s.Link,
			Summary:   cmp.Or(last.Annotations["summary"], last.Annotations["description"]),
			Resources: convert(last.Resources, func(r incident.Resource) Resource { return Resource(r) }),
			Since:     s.Since.UTC(), LastAt: s.LastAt.UTC(),
		}
	})
}

func tried(t incident.Tried) Tried {
	cause, entity, _ := incident.SplitKey(t.Key)
	return Tried{Cause: cause, Entity: entity, Runbook: t.Runbook, Outcome: t.Outcome, Why: t.Why, At: t.At.UTC()}
}

func hypothesis(h diagnostics.Hypothesis) Hypothesis {
	return Hypothesis{
		Cause: h.Cause, Title: h.Title, Entity: h.Entity, Object: dict(h.Object), Probability: h.Probability, Band: string(h.Band),
		For: convert(h.For, evidence), Against: convert(h.Against, evidence), CannotTell: convert(h.CannotTell, evidence), Cures: list(h.Cures),
	}
}

func evidence(e diagnostics.Evidence) diagnostics.Evidence {
	e.Facts = list(e.Facts)
	return e
}

// DescribeRun returns a run of the incident, without its transcript.
func DescribeRun(in *incident.Incident, r *incident.Run) Run {
	out := Run{
		ID: r.ID, Incident: in.ID, Number: in.Number, Runbook: r.Runbook, Target: r.Target, Inputs: dict(r.Inputs), RequestedBy: r.RequestedBy,
		DryRun: r.DryRun, Status: string(r.Status), Steps: []Step{}, AskedAt: r.AskedAt.UTC(), StartedAt: r.StartedAt.UTC(), EndedAt: r.EndedAt.UTC(),
	}
	out.Paused = r.Paused
	if r.Status == runbooks.RunWaiting {
		out.Missing = r.MissingApprovals()
	}
	if r.Rollout != nil {
		out.Rollout, out.Wave = r.Rollout.ID, r.Rollout.Wave
	}
	if r.Hypothesis != nil {
		out.Cause = r.Hypothesis.Cause
	}
	done := map[string]bool{}
	if r.Result != nil {
		out.Why = r.Result.Why
		for _, s := range r.Result.Steps {
			done[s.ID] = true
			out.Steps = append(out.Steps, step(s))
		}
	}
	if r.Plan != nil {
		out.Digest, out.PlanDigest = r.Plan.RunbookDigest, r.Plan.Digest
		for _, s := range r.Plan.Steps {
			if !done[s.ID] {
				out.Steps = append(out.Steps, Step{ID: s.ID, Action: s.Action, Effect: string(s.Effect), Status: string(runbooks.StepPlanned), Measured: []string{}})
			}
		}
		if out.Why == "" {
			out.Why = r.Plan.Refused
		}
	}
	if out.Why == "" && r.Result == nil {
		out.Why = ruledOut(in, r)
	}
	return out
}

// ruledOut says why a run ended before an agent carried it out.
func ruledOut(in *incident.Incident, r *incident.Run) string {
	for _, t := range in.Tried {
		if t.Key == r.Key && t.Runbook == r.Runbook && t.At.Equal(r.EndedAt) {
			return t.Why
		}
	}
	return ""
}

func step(s runbooks.StepResult) Step {
	return Step{
		ID: s.ID, Action: s.Action, Effect: string(s.Effect), Status: string(s.Status), Verified: s.Verified, Undone: s.Undone,
		ExitCode: s.ExitCode, Changed: s.Changed, Error: s.Error, Measured: list(s.Measured), StartedAt: s.StartedAt.UTC(), EndedAt: s.EndedAt.UTC(),
	}
}

// withTranscript adds what the agent ran and read.
func withTranscript(out Run, r *incident.Run) Run {
	if r.Result == nil {
		return out
	}
	for i, s := range r.Result.Steps {
		out.Steps[i].Transcript = s.Transcript
	}
	return out
}

func approvals(r *incident.Run) []Approval {
	return convert(r.Decisions, func(d incident.Approval) Approval {
		return Approval{Run: r.ID, By: d.By, Approved: d.Approved, PlanDigest: d.PlanDigest, Why: d.Why, At: d.At.UTC()}
	})
}

// DescribePlan returns what a person needs to decide on a run.
func DescribePlan(in *incident.Incident, r *incident.Run) PlanView {
	v := PlanView{Run: DescribeRun(in, r), Needs: string(NeededToApprove(r)), ApprovedBy: r.ApprovedBy(), Decisions: approvals(r)}
	if r.Plan == nil {
		return v
	}
	p := *r.Plan
	p.Inputs, p.Preconditions, p.Locks, p.MadeAt = dict(p.Inputs), list(p.Preconditions), list(p.Locks), p.MadeAt.UTC()
	p.Steps = convert(p.Steps, func(s runbooks.PlannedStep) runbooks.PlannedStep {
		s.Preserve = list(s.Preserve)
		return s
	})
	v.Plan, v.Worst = &p, p.WorstCase.Round(time.Second).String()
	return v
}

// NeededToApprove is who may say yes to the run: what cannot be undone is for
// the third line.
func NeededToApprove(r *incident.Run) access.Role {
	need := access.Operator
	if r.Plan == nil {
		return need
	}
	if r.Plan.Effect == runbooks.Irreversible {
		need = access.Engineer
	}
	if own := access.Role(r.Plan.ApproveRole); own.May(need) { // one that is not known may nothing
		need = own
	}
	return need
}

// DescribeEvent returns an event as the timeline shows it.
func DescribeEvent(e incident.Event) Event {
	out := Event{
		Incident: e.Incident, Seq: e.Seq, At: e.At.UTC(), Actor: e.Actor, Kind: string(e.Kind), Reason: e.Reason, Text: e.Text, Data: e.Data,
	}
	if len(out.Data) == 0 {
		out.Data = []byte("{}")
	}
	return out
}

func describeSignal(s incident.Signal) Signal {
	out := Signal{
		ID: s.ID, Source: s.Source, Kind: string(s.Kind), State: string(s.State), StateRaw: s.StateRaw, Severity: string(s.Severity),
		SeverityRaw: s.SeverityRaw, Title: s.Title, Labels: dict(s.Labels), Annotations: dict(s.Annotations),
		Resources: convert(s.Resources, func(r incident.Resource) Resource { return Resource(r) }), Identity: s.Identity, IdentityFrom: s.IdentityFrom,
		Links: list(s.Links), Entity: s.Entity, Action: string(s.Action), Reason: s.Reason,
		StartsAt: s.StartsAt.UTC(), EndsAt: s.EndsAt.UTC(), ReceivedAt: s.ReceivedAt.UTC(),
	}
	if s.IncidentID != "" {
		out.IncidentID = &s.IncidentID
	}
	return out
}

func describeBody(b store.Body) *Body {
	return &Body{
		ID: b.ID, ContentType: b.ContentType, SHA256: b.SHA256, Status: string(b.Status), Problem: b.Problem, ReceivedAt: b.ReceivedAt.UTC(),
		Data: list(b.Data),
	}
}

func (w Why) whole() Why {
	w.Events, w.Because = list(w.Events), convert(w.Because, Why.whole)
	return w
}

// DescribeRunbook is the wire form of a runbook.
func DescribeRunbook(r *runbooks.Runbook) RunbookInfo {
	return RunbookInfo{
		Name: r.Name, Title: r.Title, Owner: r.Owner, Cures: list(r.Cures), Autonomy: string(r.Autonomy), Digest: r.Digest, File: r.File,
		SelfService: r.SelfService, Inputs: convert(r.Inputs, DescribeInput),
		Steps: convert(r.Steps, func(s runbooks.Step) StepInfo {
			return StepInfo{ID: s.ID, Action: s.Action, Effect: string(s.Effect)}
		}),
		Calls: convert(r.Called(), func(called *runbooks.Runbook) string { return called.Name }),
	}
}

func (c CauseInfo) whole() CauseInfo {
	c.Alerts, c.Explains, c.Cures = list(c.Alerts), list(c.Explains), list(c.Cures)
	c.Never, c.Forbids, c.Prevent, c.Sources = list(c.Never), list(c.Forbids), list(c.Prevent), list(c.Sources)
	return c
}

func describeAgent(a store.Agent, connected bool) Agent {
	return Agent{
		ID: a.ID, Host: a.Host, Version: a.Version, Mode: a.Mode, Connected: connected, Targets: list(a.Targets),
		EnrolledAt: a.EnrolledAt.UTC(), SeenAt: a.SeenAt.UTC(), RevokedAt: a.RevokedAt.UTC(),
	}
}

func describeCheck(c store.CheckState) Check {
	return Check{Name: c.Name, Target: c.Target, Holds: c.Truth, Text: c.LastText, LastAt: c.LastAt.UTC(), DueAt: c.DueAt.UTC()}
}

package triage

import (
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

var t0 = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

type book struct{ cures, measurable map[string]bool }

func (b book) Cures(runbook, cause string) bool { return b.cures[runbook+" "+cause] }
func (b book) Measurable(cause string) bool     { return b.measurable[cause] }

func shelf() book {
	return book{
		cures:      map[string]bool{"rotate disk-full": true, "restart crash": true},
		measurable: map[string]bool{"disk-full": true, "crash": true},
	}
}

func hypothesis(cause string, band diagnostics.Band, cures ...string) diagnostics.Hypothesis {
	return diagnostics.Hypothesis{
		Cause: cause, Title: cause, Entity: "web1", Object: map[string]string{"mount": "/var"}, Band: band, Cures: cures, Explains: true,
	}
}

// calledFor waits for a person who is needed for the reason.
func calledFor(reason Reason) *incident.Incident {
	in := firing(incident.Escalated)
	in.Escalation = &incident.Escalation{At: t0, Named: string(reason)}
	return in
}

// asked is there only for a run that a person asked for.
func asked(run incident.Run) *incident.Incident {
	in := withRun(firing(incident.Diagnosing), run)
	in.Symptoms = nil
	return in
}

func keyOf(cause string) string {
	return incident.HypothesisKey(cause, "web1", map[string]string{"mount": "/var"})
}

// firing is an incident with one firing signal in the given status.
func firing(status incident.Status) *incident.Incident {
	in := incident.Open("inc-1", incident.Signal{
		ID: "s1", Source: "alertmanager", Identity: "f1", State: incident.Firing, Title: "disk", Entity: "web1", StartsAt: t0.Add(-time.Minute),
	}, map[string]string{}, t0)
	in.Status = status
	return in
}

func diagnosed(status incident.Status, h ...diagnostics.Hypothesis) *incident.Incident {
	in := firing(status)
	in.Diagnosis = &diagnostics.Diagnosis{Hypotheses: h, Why: "because"}
	return in
}

func withRun(in *incident.Incident, run incident.Run) *incident.Incident {
	if run.ID == "" {
		run.ID = "run-1"
	}
	if run.Runbook == "" {
		run.Runbook = "rotate"
	}
	run.Target = "web1"
	in.Runs = append(in.Runs, run)
	return in
}

func plan(effect runbooks.Effect) *runbooks.Plan {
	return &runbooks.Plan{Digest: "d1", Runbook: "rotate", Target: "web1", Effect: effect, Autonomy: runbooks.Auto}
}

// asksFor is a plan that asks for so many people, within ten minutes.
func asksFor(people int) *runbooks.Plan {
	p := plan(runbooks.Write)
	p.Approvals, p.ApproveWithin = people, 10*time.Minute
	return p
}

func sourceResolved(in *incident.Incident, at time.Time) *incident.Incident {
	for i := range in.Symptoms {
		in.Symptoms[i].State, in.Symptoms[i].Since = incident.SourceSaysOK, at
	}
	return in
}

func policy(change func(*Policy)) Policy {
	p := DefaultPolicy()
	if change != nil {
		change(&p)
	}
	return p
}

func TestDecide(t *testing.T) {
	t.Parallel()
	confirmed := &incident.HypothesisRef{Cause: "disk-full", Band: diagnostics.Confirmed}
	likely := &incident.HypothesisRef{Cause: "disk-full", Band: diagnostics.Likely}
	auto := policy(func(p *Policy) { p.Level = runbooks.Auto })
	yes := []incident.Approval{{By: "ada", Approved: true, PlanDigest: "d1"}}
	ended := func(s runbooks.RunStatus) incident.Run {
		return incident.Run{Key: keyOf("disk-full"), Status: s, EndedAt: t0, Plan: plan(runbooks.Write), Result: &runbooks.RunResult{Status: s}}
	}
	measured := func(in *incident.Incident, gone expr.Truth, at time.Time) *incident.Incident {
		in.Measured = &incident.Measured{Key: keyOf("disk-full"), Gone: gone, At: at}
		return in
	}
	busy := func(in *incident.Incident, deadline time.Time, warned bool) *incident.Incident {
		in.Work = &incident.Work{JobID: "j", Deadline: deadline, Warned: warned}
		return in
	}
	resolved := func() *incident.Incident {
		in := firing(incident.Resolved)
		in.ResolvedAt = t0
		return in
	}
	cases := map[string]struct {
		in      *incident.Incident
		policy  Policy
		noAgent bool
		at      time.Time
		want    Action
		reason  Reason
		// unverified is set where the end must not count as a cure.
		unverified bool
	}{
		"a new incident is diagnosed":              {in: firing(incident.New), want: Diagnose, reason: NewIncident},
		"an unknown entity is a person's":          {in: func() *incident.Incident { in := firing(incident.New); in.Entity = ""; return in }(), want: Escalate, reason: EntityUnknown},
		"no agent is a person's":                   {in: firing(incident.New), noAgent: true, want: Escalate, reason: NoAgent},
		"a job in flight is awaited":               {in: busy(firing(incident.Diagnosing), t0.Add(time.Minute), false), want: Wait, reason: JobInFlight},
		"a silent agent is a person's":             {in: busy(firing(incident.Diagnosing), t0.Add(-time.Minute), false), want: Escalate, reason: AgentSilent},
		"a silent agent is told of once":           {in: busy(firing(incident.Escalated), t0.Add(-time.Hour), true), want: Wait, reason: JobInFlight},
		"a confirmed cause with a cure is planned": {in: diagnosed(incident.Diagnosing, hypothesis("disk-full", diagnostics.Confirmed, "rotate")), want: Plan, reason: CureFound},
		"a likely cause with a cure is planned":    {in: diagnosed(incident.Diagnosing, hypothesis("disk-full", diagnostics.Likely, "rotate")), want: Plan, reason: CureFound},
		"a possible cause is never acted on":       {in: diagnosed(incident.Diagnosing, hypothesis("disk-full", diagnostics.Possible, "rotate")), want: Escalate, reason: CauseUnknown},
		"a cure for another cause is no cure":      {in: diagnosed(incident.Diagnosing, hypothesis("disk-full", diagnostics.Confirmed, "restart")), want: Escalate, reason: NoCure},
		"a sure cause without cure is not passed over": {in: diagnosed(incident.Diagnosing,
			hypothesis("port-conflict", diagnostics.Confirmed), hypothesis("disk-full", diagnostics.Likely, "rotate")), want: Escalate, reason: NoCure},
		"a tried cause gives way to the next": {in: func() *incident.Incident {
			in := diagnosed(incident.Diagnosing, hypothesis("crash", diagnostics.Confirmed, "restart"), hypothesis("disk-full", diagnostics.Likely, "rotate"))
			in.Tried = []incident.Tried{{Key: keyOf("crash")}}
			return in
		}(), want: Plan, reason: CureFound},
		"when all are tried a person is called": {in: func() *incident.Incident {
			in := diagnosed(incident.Diagnosing, hypothesis("disk-full", diagnostics.Confirmed, "rotate"))
			in.Tried = []incident.Tried{{Key: keyOf("disk-full")}}
			return in
		}(), want: Escalate, reason: CuresExhausted},
		"attempts are bounded": {in: func() *incident.Incident {
			in := diagnosed(incident.Diagnosing, hypothesis("disk-full", diagnostics.Confirmed, "rotate"))
			for range 3 {
				withRun(in, incident.Run{Status: runbooks.RunUndone, Result: &runbooks.RunResult{Status: runbooks.RunUndone}})
			}
			return in
		}(), want: Escalate, reason: AttemptsExhausted},
		"observe proposes nothing": {
			in:     diagnosed(incident.Diagnosing, hypothesis("disk-full", diagnostics.Confirmed, "rotate")),
			policy: policy(func(p *Policy) { p.Level = runbooks.Observe }), want: Escalate, reason: PolicyObserve,
		},
		"a changed world is diagnosed again": {in: func() *incident.Incident {
			in := diagnosed(incident.Diagnosing, hypothesis("disk-full", diagnostics.Confirmed, "rotate"))
			in.Stale = true
			return in
		}(), want: Diagnose, reason: WorldChanged},

		"by default a person is asked": {
			in:   withRun(diagnosed(incident.Diagnosing), incident.Run{Status: runbooks.RunPlanned, Plan: plan(runbooks.Write), Hypothesis: confirmed}),
			want: AwaitApproval, reason: NeedsApproval,
		},
		"auto acts on a confirmed cause": {
			in:     withRun(diagnosed(incident.Diagnosing), incident.Run{Status: runbooks.RunPlanned, Plan: plan(runbooks.Write), Hypothesis: confirmed}),
			policy: auto, want: Remediate, reason: AllowedByPolicy,
		},
		"auto asks about a likely cause": {
			in:     withRun(diagnosed(incident.Diagnosing), incident.Run{Status: runbooks.RunPlanned, Plan: plan(runbooks.Write), Hypothesis: likely}),
			policy: auto, want: AwaitApproval, reason: NeedsApproval,
		},
		"auto asks before the irreversible": {
			in:     withRun(diagnosed(incident.Diagnosing), incident.Run{Status: runbooks.RunPlanned, Plan: plan(runbooks.Irreversible), Hypothesis: confirmed}),
			policy: auto, want: AwaitApproval, reason: NeedsApproval,
		},
		"suggest shows the plan to a person": {
			in:     withRun(diagnosed(incident.Diagnosing), incident.Run{Status: runbooks.RunPlanned, Plan: plan(runbooks.Write), Hypothesis: confirmed}),
			policy: policy(func(p *Policy) { p.Level = runbooks.Suggest }), want: Escalate, reason: PolicySuggest,
		},
		"an approved plan is carried out": {
			in:   withRun(firing(incident.AwaitingApproval), incident.Run{Status: runbooks.RunWaiting, Plan: plan(runbooks.Write), AskedAt: t0, Decisions: yes}),
			want: Remediate, reason: PlanApproved,
		},
		"one of two people is not enough": {in: withRun(firing(incident.AwaitingApproval), incident.Run{
			Status: runbooks.RunWaiting, Plan: asksFor(2), AskedAt: t0, Decisions: append(yes, yes...),
		}), want: Wait, reason: WaitingForApproval},
		"two of two people are": {in: withRun(firing(incident.AwaitingApproval), incident.Run{
			Status: runbooks.RunWaiting, Plan: asksFor(2), AskedAt: t0,
			Decisions: append(yes, incident.Approval{By: "bob", Approved: true, PlanDigest: "d1"}),
		}), want: Remediate, reason: PlanApproved},
		"auto asks when the plan asks for people": {
			in:     withRun(diagnosed(incident.Diagnosing), incident.Run{Status: runbooks.RunPlanned, Plan: asksFor(1), Hypothesis: confirmed}),
			policy: auto, want: AwaitApproval, reason: NeedsApproval,
		},
		"a plan may ask for less time": {in: withRun(firing(incident.AwaitingApproval), incident.Run{
			Status: runbooks.RunWaiting, Plan: asksFor(1), AskedAt: t0,
		}), at: t0.Add(10 * time.Minute), want: Escalate, reason: ApprovalTimedOut},
		"an approval of another plan is none": {in: withRun(firing(incident.AwaitingApproval), incident.Run{
			Status: runbooks.RunWaiting, Plan: plan(runbooks.Write), AskedAt: t0,
			Decisions: []incident.Approval{{By: "ada", Approved: true, PlanDigest: "d0"}},
		}), want: Wait, reason: WaitingForApproval},
		"a no is no yes": {in: withRun(firing(incident.AwaitingApproval), incident.Run{
			Status: runbooks.RunWaiting, Plan: plan(runbooks.Write), AskedAt: t0,
			Decisions: []incident.Approval{{By: "ada", PlanDigest: "d1"}},
		}), want: Wait, reason: WaitingForApproval},
		"approvals time out": {
			in:   withRun(firing(incident.AwaitingApproval), incident.Run{Status: runbooks.RunWaiting, Plan: plan(runbooks.Write), AskedAt: t0.Add(-2 * time.Hour)}),
			want: Escalate, reason: ApprovalTimedOut,
		},
		"a person may still approve after the call": {
			in:   withRun(firing(incident.Escalated), incident.Run{Status: runbooks.RunWaiting, Plan: plan(runbooks.Write), Decisions: yes}),
			want: Remediate, reason: PlanApproved,
		},

		"a verified run is not proof":      {in: withRun(firing(incident.Remediating), ended(runbooks.RunVerified)), want: Verify, reason: RunVerified},
		"an unknown outcome is a person's": {in: withRun(firing(incident.Remediating), ended(runbooks.RunUnknown)), want: Escalate, reason: OutcomeUnknown},
		"an undone run leads on":           {in: withRun(firing(incident.Remediating), ended(runbooks.RunUndone)), want: GiveUpOn, reason: RunNotVerified},
		"a refused run leads on":           {in: withRun(firing(incident.Remediating), ended(runbooks.RunRefused)), want: GiveUpOn, reason: RunNotVerified},
		"a stuck undo is a person's": {in: func() *incident.Incident {
			run := ended(runbooks.RunRefuted)
			run.Result.Steps = []runbooks.StepResult{{Status: runbooks.StepStuck}}
			return withRun(firing(incident.Remediating), run)
		}(), want: Escalate, reason: UndoStuck},

		"a run that nobody reports on is never carried out again": {
			in:   withRun(diagnosed(incident.Diagnosing), incident.Run{Status: runbooks.RunRunning, Plan: plan(runbooks.Write), Decisions: yes}),
			want: Escalate, reason: OutcomeUnknown,
		},
		"a running run without work is none to wait for": {
			in:   withRun(firing(incident.Remediating), incident.Run{Status: runbooks.RunRunning, Plan: plan(runbooks.Write), Decisions: yes}),
			want: Escalate, reason: OutcomeUnknown,
		},
		"a plan that comes after the call asks, whatever the policy": {
			in:     withRun(firing(incident.Escalated), incident.Run{Status: runbooks.RunPlanned, Plan: plan(runbooks.Write), Hypothesis: confirmed}),
			policy: auto, want: AwaitApproval, reason: NeedsApproval,
		},
		"a run verified after the call is measured": {in: withRun(firing(incident.Escalated), ended(runbooks.RunVerified)), want: Verify, reason: RunVerified},
		"a run that is settled is not measured again": {in: func() *incident.Incident {
			run := ended(runbooks.RunVerified)
			run.Judged = true
			return measured(withRun(firing(incident.Escalated), run), expr.True, t0)
		}(), want: Wait, reason: WaitingForPerson},
		"a late measurement counts": {in: measured(withRun(firing(incident.Escalated), ended(runbooks.RunVerified)), expr.True, t0), want: Resolve, reason: MeasuredGone},
		"an approved plan is not carried out when the symptom is measured gone": {in: sourceResolved(measured(withRun(firing(incident.AwaitingApproval),
			incident.Run{Status: runbooks.RunWaiting, Key: keyOf("disk-full"), Plan: plan(runbooks.Write), AskedAt: t0, Decisions: yes}), expr.True, t0), t0.Add(-time.Second)), want: Resolve, reason: GoneByItself},
		"without an agent nothing is ordered": {in: diagnosed(incident.Diagnosing, hypothesis("disk-full", diagnostics.Confirmed, "rotate")), noAgent: true, want: Escalate, reason: NoAgent},
		"without an agent a called person is not called again": {
			in:      sourceResolved(diagnosed(incident.Escalated, hypothesis("disk-full", diagnostics.Confirmed)), t0),
			noAgent: true, want: Wait, reason: NoAgent,
		},
		"an agent arrives where a person was needed for want of one": {in: calledFor(NoAgent), want: Diagnose, reason: AgentArrived},
		"and none has arrived yet":                                   {in: calledFor(NoAgent), noAgent: true, want: Wait, reason: WaitingForPerson},
		"whoever was called for another reason stays called":         {in: calledFor(CauseUnknown), want: Wait, reason: WaitingForPerson},
		"a run that waits for a yes is not thrown away by an agent": {in: func() *incident.Incident {
			in := withRun(calledFor(NoAgent), incident.Run{Status: runbooks.RunWaiting, Plan: plan(runbooks.Write), AskedAt: t0})
			return in
		}(), want: Wait, reason: WaitingForPerson},
		"a person's run that failed is no resolution": {
			in: asked(incident.Run{Status: runbooks.RunFailed, EndedAt: t0}), want: Resolve, reason: RunFailed, unverified: true,
		},
		"nor is a dry run without a plan": {
			in: asked(incident.Run{Status: runbooks.RunRefused, DryRun: true, EndedAt: t0}), want: Resolve, reason: RunFailed, unverified: true,
		},
		"a dry run with its plan did what it was to do": {
			in: asked(incident.Run{Status: runbooks.RunPlanned, DryRun: true, Plan: plan(runbooks.Write), EndedAt: t0}), want: Resolve, reason: RunEnded,
		},
		"a person's run that was verified is over": {in: asked(incident.Run{Status: runbooks.RunVerified, EndedAt: t0}), want: Resolve, reason: RunEnded},
		"a person's run goes on though diagnosing failed": {in: func() *incident.Incident {
			in := withRun(firing(incident.Diagnosing), incident.Run{Status: runbooks.RunPlanned, Plan: plan(runbooks.Write)})
			in.Failures = 3
			return in
		}(), want: AwaitApproval, reason: NeedsApproval},
		"a dry run that is over resolves nothing": {
			in:   withRun(diagnosed(incident.Diagnosing), incident.Run{Status: runbooks.RunPlanned, DryRun: true, Plan: plan(runbooks.Write), EndedAt: t0}),
			want: Escalate, reason: CauseUnknown,
		},
		"a person's verified run with nothing to measure by is not proof": {in: withRun(diagnosed(incident.Verifying, hypothesis("disk-full", diagnostics.Possible)), incident.Run{
			Status:  runbooks.RunVerified,
			EndedAt: t0.Add(-time.Hour), Plan: plan(runbooks.Write), Result: &runbooks.RunResult{Status: runbooks.RunVerified},
		}), want: Escalate, reason: CannotVerify},

		"verifying measures":                                {in: withRun(firing(incident.Verifying), ended(runbooks.RunVerified)), want: Verify, reason: RunVerified},
		"a measurement from before proves nothing":          {in: measured(withRun(firing(incident.Verifying), ended(runbooks.RunVerified)), expr.True, t0.Add(-time.Second)), want: Verify, reason: RunVerified},
		"measured gone resolves":                            {in: measured(withRun(firing(incident.Verifying), ended(runbooks.RunVerified)), expr.True, t0), want: Resolve, reason: MeasuredGone},
		"measured gone resolves though the source fires on": {in: measured(withRun(firing(incident.Verifying), ended(runbooks.RunVerified)), expr.True, t0), want: Resolve, reason: MeasuredGone},
		"still there leads on":                              {in: measured(withRun(firing(incident.Verifying), ended(runbooks.RunVerified)), expr.False, t0), want: GiveUpOn, reason: StillThere},
		"cannot tell is asked again":                        {in: measured(withRun(firing(incident.Verifying), ended(runbooks.RunVerified)), expr.CannotTell, t0), want: Verify, reason: CannotVerify},
		"cannot tell for ever is a person's": {in: func() *incident.Incident {
			in := measured(withRun(firing(incident.Verifying), ended(runbooks.RunVerified)), expr.CannotTell, t0)
			in.Failures = 3
			return in
		}(), want: Escalate, reason: CannotVerify},
		"the source's resolved does not replace the measurement": {in: sourceResolved(measured(withRun(firing(incident.Verifying), ended(runbooks.RunVerified)), expr.False, t0), t0), want: GiveUpOn, reason: StillThere},

		"source says resolved: the host is asked": {in: sourceResolved(withRun(diagnosed(incident.AwaitingApproval, hypothesis("disk-full", diagnostics.Confirmed, "rotate")),
			incident.Run{Status: runbooks.RunWaiting, Key: keyOf("disk-full"), Plan: plan(runbooks.Write), AskedAt: t0}), t0), want: Measure, reason: SourceSaysResolved},
		"source says resolved, the probe says no: it stays open": {
			in:   sourceResolved(measured(diagnosed(incident.Escalated, hypothesis("disk-full", diagnostics.Confirmed)), expr.False, t0), t0.Add(-time.Second)),
			want: Wait, reason: SourceIsWrong,
		},
		"source says resolved and the probe agrees": {
			in:   sourceResolved(measured(diagnosed(incident.Escalated, hypothesis("disk-full", diagnostics.Confirmed)), expr.True, t0), t0.Add(-time.Second)),
			want: Resolve, reason: GoneByItself,
		},
		"source says resolved and nothing can be measured: hold": {in: sourceResolved(diagnosed(incident.Escalated), t0), want: Wait, reason: SourceSaysResolved},
		"held long enough it is closed as unverified":            {in: sourceResolved(diagnosed(incident.Escalated), t0.Add(-6*time.Minute)), want: Resolve, reason: HeldUnverified},

		"a relapse is diagnosed": {in: func() *incident.Incident {
			in := resolved()
			in.Symptoms[0].Since, in.Symptoms[0].LastAt = t0.Add(time.Minute), t0.Add(time.Minute)
			return in
		}(), at: t0.Add(2 * time.Minute), want: Diagnose, reason: SymptomIsBack},
		"an echo of the cured fault is none": {in: func() *incident.Incident {
			in := resolved()
			in.Symptoms[0].LastAt = t0.Add(time.Minute)
			return in
		}(), at: t0.Add(2 * time.Minute), want: Wait, reason: ResolvedRecently},
		"an echo that goes on for long is a relapse": {in: func() *incident.Incident {
			in := resolved()
			in.Symptoms[0].LastAt = t0.Add(10 * time.Minute)
			return in
		}(), at: t0.Add(10 * time.Minute), want: Diagnose, reason: SymptomIsBack},
		"resolved is closed after half an hour": {in: resolved(), at: t0.Add(31 * time.Minute), want: Close, reason: ResolvedLongEnough},
		"closed stays closed":                   {in: firing(incident.Closed), want: Wait, reason: NothingToDo},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := c.policy
			if p.Level == "" {
				p = DefaultPolicy()
			}
			at := c.at
			if at.IsZero() {
				at = t0
			}
			got := Decide(Situation{Incident: c.in, HasAgent: !c.noAgent, Catalogue: shelf(), Policy: p, Now: at})
			if got.Action != c.want || got.Reason != c.reason {
				t.Errorf("got %s because %s (%s), want %s because %s", got.Action, got.Reason, got.Detail, c.want, c.reason)
			}
			if c.unverified && !got.Unverified {
				t.Error("it counts as cured")
			}
			if got.Action == Remediate && len(got.By) == 0 {
				t.Error("a change without anyone who allowed it")
			}
		})
	}
}

func TestAutonomyIsACeilingAndGrantsExpire(t *testing.T) {
	t.Parallel()
	p := policy(func(p *Policy) {
		p.Grants = []Grant{{Runbook: "rotate", Target: "web1", Level: runbooks.Auto, By: "ada", Expires: t0.Add(time.Hour)}}
	})
	pl := plan(runbooks.Write)
	if got, by := p.LevelFor(pl, diagnostics.Confirmed, t0); got != runbooks.Auto || by != "ada" {
		t.Errorf("granted: got %s by %s", got, by)
	}
	if got, _ := p.LevelFor(pl, diagnostics.Confirmed, t0.Add(2*time.Hour)); got != runbooks.Approve {
		t.Errorf("after expiry: got %s", got)
	}
	pl.Autonomy = runbooks.Suggest
	if got, _ := p.LevelFor(pl, diagnostics.Confirmed, t0); got != runbooks.Suggest {
		t.Errorf("above the runbook's ceiling: got %s", got)
	}
	pl.Autonomy = "nonsense"
	if got, _ := p.LevelFor(pl, diagnostics.Confirmed, t0); rank(got) > 0 {
		t.Errorf("an unknown level allows %s", got)
	}
}

func TestEveryReasonHasASentence(t *testing.T) {
	t.Parallel()
	for _, r := range Reasons() {
		if r.Sentence() == "" {
			t.Errorf("%s has none", r)
		}
	}
}

package triage

import (
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/runbooks"
)

// TestAPlanDoesNotPutOffThePersonWhoIsCalled: it may ask for less time than the
// policy gives, and not for more.
func TestAPlanDoesNotPutOffThePersonWhoIsCalled(t *testing.T) {
	t.Parallel()
	for own, until := range map[time.Duration]time.Duration{
		0: time.Hour, 10 * time.Minute: 10 * time.Minute, time.Hour: time.Hour, 2 * time.Hour: time.Hour, 24 * time.Hour: time.Hour,
	} {
		p := plan(runbooks.Write)
		p.Approvals, p.ApproveWithin = 1, own
		decide := func(after time.Duration) Decision {
			in := withRun(firing(incident.AwaitingApproval), incident.Run{Status: runbooks.RunWaiting, Plan: p, AskedAt: t0})
			return Decide(Situation{Incident: in, HasAgent: true, Catalogue: shelf(), Policy: DefaultPolicy(), Now: t0.Add(after)})
		}
		if got := decide(until - time.Second); got.Action != Wait || got.Reason != WaitingForApproval || !got.LookAt.Equal(t0.Add(until)) {
			t.Errorf("it asks for %s: %s because %s, until %s", own, got.Action, got.Reason, got.LookAt)
		}
		if got := decide(until); got.Action != Escalate || got.Reason != ApprovalTimedOut {
			t.Errorf("it asks for %s, and %s are over: %s because %s", own, until, got.Action, got.Reason)
		}
	}
}

// TestAYesToAnOlderPlanIsNotOneOfTheTwo that a plan asks for.
func TestAYesToAnOlderPlanIsNotOneOfTheTwo(t *testing.T) {
	t.Parallel()
	in := withRun(firing(incident.AwaitingApproval), incident.Run{Status: runbooks.RunWaiting, Plan: asksFor(2), AskedAt: t0, Decisions: []incident.Approval{
		{By: "ada", Approved: true, PlanDigest: "d0"}, {By: "bob", Approved: true, PlanDigest: "d1"},
	}})
	if got := Decide(Situation{Incident: in, HasAgent: true, Catalogue: shelf(), Policy: DefaultPolicy(), Now: t0}); got.Action != Wait || got.Reason != WaitingForApproval {
		t.Errorf("got %s because %s, by %q", got.Action, got.Reason, got.By)
	}
}

// TestWhoMayHaveItWithoutAYes: with a grant of auto the asking of a person is
// enough, and so is a confirmed cause; what is only likely still asks.
func TestWhoMayHaveItWithoutAYes(t *testing.T) {
	t.Parallel()
	granted := policy(func(p *Policy) {
		p.Grants = []Grant{{Runbook: "rotate", Target: "web1", Level: runbooks.Auto, By: "ada", Expires: t0.Add(time.Hour)}}
	})
	for name, c := range map[string]struct {
		run    incident.Run
		effect runbooks.Effect
		policy Policy
		want   Action
	}{
		"a person asked":                        {incident.Run{RequestedBy: "bob"}, runbooks.Write, granted, Remediate},
		"a person asked, without a grant":       {incident.Run{RequestedBy: "bob"}, runbooks.Write, DefaultPolicy(), AwaitApproval},
		"a person asked for what is not undone": {incident.Run{RequestedBy: "bob"}, runbooks.Irreversible, granted, AwaitApproval},
		"a confirmed cause":                     {incident.Run{Hypothesis: &incident.HypothesisRef{Band: diagnostics.Confirmed}}, runbooks.Write, granted, Remediate},
		"a likely cause":                        {incident.Run{Hypothesis: &incident.HypothesisRef{Band: diagnostics.Likely}}, runbooks.Write, granted, AwaitApproval},
		"a likely cause, a person asked":        {incident.Run{RequestedBy: "bob", Hypothesis: &incident.HypothesisRef{Band: diagnostics.Likely}}, runbooks.Write, granted, AwaitApproval},
		"nobody asked":                          {incident.Run{}, runbooks.Write, granted, AwaitApproval},
	} {
		run := c.run
		run.Runbook, run.Plan = "rotate", plan(c.effect)
		if got := (Situation{Incident: firing(incident.Diagnosing), Policy: c.policy, Now: t0}).weighPlan(&run); got.Action != c.want {
			t.Errorf("%s: %s because %s, want %s", name, got.Action, got.Reason, c.want)
		}
	}
}

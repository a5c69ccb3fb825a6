package triage

import (
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

// TestMeasuredByAlerts: where the cause's own predicate cannot be measured, the
// alerts' expressions are, and what nobody can tell is never gone.
func TestMeasuredByAlerts(t *testing.T) {
	t.Parallel()
	said := t0.Add(-20 * time.Second) // when the source said that it is over
	asked := func(in *incident.Incident, gone expr.Truth, times int) *incident.Incident {
		in.Measured = &incident.Measured{Key: incident.ByAlerts, Gone: gone, Times: times, At: t0, Text: "asked"}
		return in
	}
	unknown := func() *incident.Incident { return sourceResolved(diagnosed(incident.Escalated), said) }
	known := func() *incident.Incident {
		return sourceResolved(diagnosed(incident.Escalated, hypothesis("disk-full", diagnostics.Confirmed)), said)
	}
	failed := func(in *incident.Incident) *incident.Incident {
		in.Failures, in.FailedAt = 3, t0.Add(-time.Hour)
		return in
	}
	run := func(status incident.Status, key string) *incident.Incident {
		return withRun(firing(status), incident.Run{
			Key: key, Status: runbooks.RunVerified, EndedAt: said, Plan: plan(runbooks.Write), Result: &runbooks.RunResult{Status: runbooks.RunVerified},
		})
	}
	edit := func(in *incident.Incident, change func(*incident.Incident)) *incident.Incident {
		change(in)
		return in
	}
	for name, c := range map[string]struct {
		in      *incident.Incident
		noAgent bool
		cannot  bool // the alerts cannot be asked for
		after   time.Duration
		want    Action
		reason  Reason
		byAlert bool
	}{
		"no cause is known":                                  {in: unknown(), want: Measure, reason: SourceSaysResolved, byAlert: true},
		"without a way the source's word must hold":          {in: unknown(), cannot: true, want: Wait, reason: SourceSaysResolved},
		"a known cause is measured on the host":              {in: known(), want: Measure, reason: SourceSaysResolved},
		"no agent reaches the host":                          {in: known(), noAgent: true, want: Measure, reason: SourceSaysResolved, byAlert: true},
		"no agent and no way":                                {in: known(), noAgent: true, cannot: true, want: Wait, reason: NoAgent},
		"the host could not tell":                            {in: failed(known()), want: Measure, reason: SourceSaysResolved, byAlert: true},
		"diagnosing failed, which is another thing":          {in: failed(unknown()), want: Measure, reason: SourceSaysResolved, byAlert: true},
		"what was asked goes on so, though an agent is back": {in: asked(known(), expr.CannotTell, 1), after: 10 * time.Second, want: Measure, reason: SourceSaysResolved, byAlert: true},

		"measured gone": {in: asked(unknown(), expr.True, 1), want: Resolve, reason: GoneByItself},
		"measured before the source said so": {
			in:   edit(asked(unknown(), expr.True, 1), func(in *incident.Incident) { in.Measured.At = said.Add(-time.Second) }),
			want: Measure, reason: SourceSaysResolved, byAlert: true,
		},
		"a pause before it is asked again": {in: asked(unknown(), expr.CannotTell, 1), after: 9 * time.Second, want: Wait, reason: SourceSaysResolved},
		"which doubles":                    {in: asked(unknown(), expr.CannotTell, 2), after: 19 * time.Second, want: Wait, reason: SourceSaysResolved},
		"and ends":                         {in: asked(unknown(), expr.CannotTell, 2), after: 20 * time.Second, want: Measure, reason: SourceSaysResolved, byAlert: true},
		"a server that is down for long resolves nothing": {in: asked(unknown(), expr.CannotTell, 3), after: 39 * time.Second, want: Wait, reason: WaitingForPerson},
		"and is asked again":                              {in: asked(unknown(), expr.CannotTell, 3), after: 40 * time.Second, want: Measure, reason: WaitingForPerson, byAlert: true},
		"once an hour at last":                            {in: asked(unknown(), expr.CannotTell, 1000), after: 59 * time.Minute, want: Wait, reason: WaitingForPerson},
		"also then":                                       {in: asked(unknown(), expr.CannotTell, 1000), after: time.Hour, want: Measure, reason: WaitingForPerson, byAlert: true},
		"still there is the source's mistake":             {in: asked(unknown(), expr.False, 1), want: Wait, reason: SourceIsWrong},
		"and may end later":                               {in: asked(unknown(), expr.False, 1), after: 10 * time.Second, want: Measure, reason: SourceIsWrong, byAlert: true},
		"still there leads on":                            {in: sourceResolved(asked(diagnosed(incident.Diagnosing), expr.False, 1), said), want: Escalate, reason: CauseUnknown},
		"gone, but not long enough": {
			in:    edit(asked(unknown(), expr.CannotTell, 0), func(in *incident.Incident) { in.Measured.Again = t0.Add(time.Minute) }),
			after: 59 * time.Second, want: Wait, reason: SourceSaysResolved,
		},
		"and then it is asked": {
			in:    edit(asked(unknown(), expr.CannotTell, 0), func(in *incident.Incident) { in.Measured.Again = t0.Add(time.Minute) }),
			after: time.Minute, want: Measure, reason: SourceSaysResolved, byAlert: true,
		},
		"pointless is as without a way":              {in: edit(asked(unknown(), expr.CannotTell, 1), pointless), want: Wait, reason: SourceSaysResolved},
		"and resolves as unverified":                 {in: edit(asked(unknown(), expr.CannotTell, 1), pointless), after: 5 * time.Minute, want: Resolve, reason: HeldUnverified},
		"pointless does not make a silent host tell": {in: edit(asked(failed(known()), expr.CannotTell, 1), pointless), after: time.Hour, want: Wait, reason: WaitingForPerson},

		"a run with nothing else to measure by":   {in: run(incident.Remediating, ""), want: Verify, reason: RunVerified, byAlert: true},
		"a run is measured on the host":           {in: run(incident.Remediating, keyOf("disk-full")), want: Verify, reason: RunVerified},
		"a run whose agent is gone":               {in: run(incident.Remediating, keyOf("disk-full")), noAgent: true, want: Verify, reason: RunVerified, byAlert: true},
		"verifying asks":                          {in: run(incident.Verifying, ""), want: Verify, reason: RunVerified, byAlert: true},
		"verifying is proven":                     {in: asked(run(incident.Verifying, ""), expr.True, 1), want: Resolve, reason: MeasuredGone},
		"proof from before the run is none":       {in: edit(asked(run(incident.Verifying, ""), expr.True, 1), func(in *incident.Incident) { in.Measured.At = said.Add(-time.Second) }), want: Verify, reason: RunVerified, byAlert: true},
		"an expression looks back over minutes":   {in: asked(run(incident.Verifying, ""), expr.False, 1), want: Wait, reason: StillThere},
		"so it is asked again":                    {in: asked(run(incident.Verifying, ""), expr.False, 1), after: 10 * time.Second, want: Verify, reason: StillThere, byAlert: true},
		"but not for ever":                        {in: asked(run(incident.Verifying, ""), expr.False, 9), after: 10 * time.Minute, want: GiveUpOn, reason: StillThere},
		"verifying asks again for an answer":      {in: asked(run(incident.Verifying, ""), expr.CannotTell, 2), after: 20 * time.Second, want: Verify, reason: CannotVerify, byAlert: true},
		"no answer is a person's":                 {in: asked(run(incident.Verifying, ""), expr.CannotTell, 3), want: Escalate, reason: CannotVerify},
		"who was called for that is called once":  {in: calledOnce(asked(run(incident.Escalated, ""), expr.CannotTell, 1)), after: time.Hour, want: Wait, reason: WaitingForPerson},
		"a late report is measured by the alerts": {in: run(incident.Escalated, ""), want: Verify, reason: RunVerified, byAlert: true},
		"pointless after a run is a person's":     {in: edit(asked(run(incident.Verifying, ""), expr.CannotTell, 1), pointless), after: time.Hour, want: Escalate, reason: CannotVerify},

		"a question in flight is awaited": {in: edit(unknown(), question), want: Wait, reason: JobInFlight},
		"a lost one is a person's":        {in: edit(unknown(), question), after: 30 * time.Minute, want: Escalate, reason: CannotVerify},
		"and told of once":                {in: edit(edit(unknown(), question), func(in *incident.Incident) { in.Work.Warned = true }), after: time.Hour, want: Wait, reason: JobInFlight},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Decide(Situation{
				Incident: c.in, HasAgent: !c.noAgent, Askable: !c.cannot, Catalogue: shelf(), Policy: DefaultPolicy(), Now: t0.Add(c.after),
			})
			if got.Action != c.want || got.Reason != c.reason ||
				(got.Action == Measure || got.Action == Verify) && (got.Key == incident.ByAlerts) != c.byAlert {
				t.Errorf("got %s %q because %s (%s), want %s because %s", got.Action, got.Key, got.Reason, got.Detail, c.want, c.reason)
			}
			if got.Action == Wait && !got.LookAt.IsZero() && !got.LookAt.After(t0.Add(c.after)) {
				t.Errorf("waits for %s, which has passed", got.LookAt)
			}
		})
	}
}

func pointless(in *incident.Incident) { in.Measured.Pointless = true }

func question(in *incident.Incident) {
	in.Work = &incident.Work{JobID: "j", Kind: "measure", Key: incident.ByAlerts, Since: t0, Deadline: t0.Add(30 * time.Minute)}
}

func calledOnce(in *incident.Incident) *incident.Incident {
	in.Escalation = &incident.Escalation{Named: string(CannotVerify)}
	return in
}

package triage

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

// machine is a model of what the controller does with decisions, without a
// store and without agents: decisions change the incident, and the test deals
// reports, signals, people's acts and time in any order.
type machine struct {
	t      *rapid.T
	in     *incident.Incident
	policy Policy
	agent  bool
	ask    bool // Prometheus may be asked for the alerts
	now    time.Time
	jobs   int
}

// maxMoves is the bound of the controller's loop.
const maxMoves = 12

func (m *machine) step() {
	for range maxMoves {
		d := Decide(Situation{Incident: m.in, HasAgent: m.agent, Askable: m.ask, Catalogue: shelf(), Policy: m.policy, Now: m.now})
		if d.Reason.Sentence() == "" {
			m.t.Fatalf("%s without a reason that is known: %q", d.Action, d.Reason)
		}
		if d.Action == Wait {
			if !d.LookAt.IsZero() && !d.LookAt.After(m.now) {
				m.t.Fatalf("waits for %s, which has passed at %s (%s)", d.LookAt, m.now, d.Reason)
			}
			m.mustNotSleep(d)
			return
		}
		m.act(d)
	}
	m.t.Fatalf("deciding does not end: %s because %s", m.in.Status, m.in.LastReason)
}

// mustNotSleep is that only a person, or nobody, has to do something next when
// there is no time to look again.
func (m *machine) mustNotSleep(d Decision) {
	if !d.LookAt.IsZero() {
		return
	}
	switch m.in.Status {
	case incident.Escalated, incident.Closed, incident.Suppressed, incident.Merged:
	case incident.New, incident.Diagnosing, incident.AwaitingApproval, incident.Remediating, incident.Verifying, incident.Resolved:
		m.t.Fatalf("%s sleeps for ever because %s", m.in.Status, d.Reason)
	}
}

func (m *machine) become(s incident.Status, d Decision) {
	if err := m.in.Become(s, m.now, "test", string(d.Reason), ""); err != nil {
		m.t.Fatalf("%s because %s: %v", d.Action, d.Reason, err)
	}
}

func (m *machine) order(kind string, run *incident.Run, key string) {
	if m.in.Work != nil {
		m.t.Fatal("two jobs in flight")
	}
	m.jobs++
	m.in.Work = &incident.Work{JobID: string(rune(m.jobs)), Kind: kind, Key: key, Since: m.now, Deadline: m.now.Add(time.Minute)}
	if run != nil {
		m.in.Work.RunID = run.ID
	}
}

func (m *machine) act(d Decision) {
	m.in.LastReason = string(d.Reason)
	run := m.in.FindRun(d.RunID)
	switch d.Action {
	case Diagnose:
		if relapse := m.in.Status == incident.Resolved; relapse {
			m.in.Stale, m.in.Failures = true, 0
			m.become(incident.Diagnosing, d)
			return
		}
		m.become(incident.Diagnosing, d)
		m.in.Stale, m.in.Diagnosis = false, nil
		m.order("diagnose", nil, "")
	case Plan:
		if run == nil {
			m.in.Runs = append(m.in.Runs, incident.Run{
				ID: "run-" + string(rune('a'+len(m.in.Runs))), Runbook: d.Runbook, Target: "web1", Key: d.Key, Status: runbooks.RunPlanned,
				Hypothesis: &incident.HypothesisRef{Cause: d.Hypothesis.Cause, Band: d.Hypothesis.Band},
			})
			run = &m.in.Runs[len(m.in.Runs)-1]
		}
		m.order("plan", run, "")
	case AwaitApproval:
		m.become(incident.AwaitingApproval, d)
		run.Status, run.AskedAt = runbooks.RunWaiting, m.now
	case Remediate:
		m.mustBeAllowed(run, d)
		m.become(incident.Remediating, d)
		run.Status = runbooks.RunRunning
		m.order("run", run, "")
	case Verify:
		m.become(incident.Verifying, d)
		if d.Key != "" {
			m.order("measure", nil, d.Key)
		}
	case Measure:
		m.order("measure", nil, d.Key)
	case GiveUpOn:
		if run != nil {
			m.in.Tried = append(m.in.Tried, incident.Tried{Key: run.Key})
			run.Judged = true
		}
		m.in.Stale, m.in.Measured = true, nil
		m.become(incident.Diagnosing, d)
	case Resolve:
		m.mustBeProven(d)
		if cur := m.in.CurrentRun(); cur != nil {
			cur.Status, cur.EndedAt = runbooks.RunCancelled, m.now
		}
		for i := range m.in.Runs {
			m.in.Runs[i].Judged = true
		}
		m.become(incident.Resolved, d)
	case Escalate:
		if w := m.in.Work; w != nil {
			w.Warned = true
		}
		m.become(incident.Escalated, d)
		m.in.Escalation = &incident.Escalation{At: m.now, Named: string(d.Reason)}
	case Close:
		m.become(incident.Closed, d)
	case Wait:
	default:
		m.t.Fatalf("action %q", d.Action)
	}
}

func (m *machine) mustBeAllowed(run *incident.Run, d Decision) {
	if run == nil || run.Plan == nil || run.Status == runbooks.RunRunning || run.Result != nil || run.DryRun {
		m.t.Fatalf("carries out %+v", run)
	}
	yes := map[string]bool{}
	for _, a := range run.Decisions {
		if a.Approved && a.PlanDigest == run.Plan.Digest {
			yes[a.By] = true
		}
	}
	if len(yes) > 0 && len(yes) >= run.Plan.Approvals && len(d.By) == len(yes) && !slices.ContainsFunc(d.By, func(by string) bool { return !yes[by] }) {
		return
	}
	level, by := m.policy.LevelFor(run.Plan, run.Hypothesis.Band, m.now)
	if level != runbooks.Auto || !slices.Equal(d.By, []string{"policy:" + by}) || run.Plan.Approvals > 0 || run.Hypothesis.Band != diagnostics.Confirmed || run.Plan.Effect == runbooks.Irreversible {
		m.t.Fatalf("nobody allowed it: %+v", d)
	}
	if m.in.Status == incident.Escalated {
		m.t.Fatal("acts unattended beside a person")
	}
}

func (m *machine) mustBeProven(d Decision) {
	if d.Unverified || (d.Reason == RunEnded || d.Reason == RunFailed) && len(m.in.Symptoms) == 0 {
		return
	}
	got := m.in.Measured
	if got == nil || got.Gone != expr.True {
		m.t.Fatalf("resolved because %s, and nothing was measured gone: %+v", d.Reason, got)
	}
	for _, run := range m.in.Runs {
		if got.At.Before(run.EndedAt) && run.Status == runbooks.RunVerified {
			m.t.Fatalf("resolved by a measurement from before the run")
		}
	}
}

// report is what an agent may answer to the job in flight.
func (m *machine) report() {
	w := m.in.Work
	if w == nil {
		return
	}
	m.in.Work = nil
	run := m.in.FindRun(w.RunID)
	fails := rapid.IntRange(0, 3).Draw(m.t, "fails") == 0
	switch w.Kind {
	case "diagnose":
		if fails {
			m.fail()
			return
		}
		var found []diagnostics.Hypothesis
		bands := []diagnostics.Band{diagnostics.Confirmed, diagnostics.Likely, diagnostics.Possible}
		for _, cause := range rapid.SampledFrom([][]string{{}, {"disk-full"}, {"crash", "disk-full"}, {"port-conflict"}}).Draw(m.t, "causes") {
			h := hypothesis(cause, rapid.SampledFrom(bands).Draw(m.t, "band"), map[string]string{"disk-full": "rotate", "crash": "restart"}[cause])
			h.Explains = rapid.Bool().Draw(m.t, "explains")
			found = append(found, h)
		}
		m.in.Failures, m.in.Diagnosis, m.in.DiagnosedAt = 0, &diagnostics.Diagnosis{Hypotheses: found}, m.now
	case "plan":
		if run == nil || run.Status != runbooks.RunPlanned {
			return
		}
		if fails {
			run.Status, run.EndedAt = runbooks.RunRefused, m.now
			m.in.Tried = append(m.in.Tried, incident.Tried{Key: run.Key})
			return
		}
		p := plan(rapid.SampledFrom([]runbooks.Effect{runbooks.Write, runbooks.Irreversible}).Draw(m.t, "effect"))
		p.Runbook = run.Runbook
		run.Plan = p
		if run.DryRun {
			run.EndedAt = m.now
		}
	case "run":
		run.Status = rapid.SampledFrom([]runbooks.RunStatus{
			runbooks.RunVerified, runbooks.RunVerified, runbooks.RunUndone, runbooks.RunRefused, runbooks.RunUnknown, runbooks.RunFailed, runbooks.RunCancelled,
		}).Draw(m.t, "outcome")
		run.EndedAt, run.Result = m.now, &runbooks.RunResult{Status: run.Status}
		m.in.Failures, m.in.Measured = 0, nil
	case "measure":
		if w.Key == incident.ByAlerts {
			m.answer()
			return
		}
		if fails {
			m.fail()
			return
		}
		truth := rapid.SampledFrom([]expr.Truth{expr.True, expr.False, expr.CannotTell}).Draw(m.t, "gone")
		m.in.Measured = &incident.Measured{Key: w.Key, Gone: truth, At: m.now}
		if truth == expr.CannotTell {
			m.fail()
		} else {
			m.in.Failures = 0
		}
	}
}

// answer is what Prometheus may say of the alerts.
func (m *machine) answer() {
	truth := rapid.SampledFrom([]expr.Truth{expr.True, expr.False, expr.CannotTell, expr.CannotTell}).Draw(m.t, "gone by alerts")
	got := &incident.Measured{Key: incident.ByAlerts, Gone: truth, At: m.now, Times: 1}
	if last := m.in.Measured; last != nil && last.Key == got.Key && last.Gone == truth {
		got.Times += last.Times
	}
	if truth == expr.CannotTell {
		got.Pointless = rapid.Bool().Draw(m.t, "pointless")
		if !got.Pointless && rapid.Bool().Draw(m.t, "not held long enough") {
			got.Times, got.Again = 0, m.now.Add(time.Minute)
		}
	}
	m.in.Measured = got
}

func (m *machine) fail() { m.in.Failures, m.in.FailedAt = m.in.Failures+1, m.now }

func (m *machine) signal() {
	m.in.Absorb(incident.Signal{
		Source: "alertmanager", Identity: rapid.SampledFrom([]string{"f1", "f2"}).Draw(m.t, "identity"),
		State: rapid.SampledFrom([]incident.State{incident.Firing, incident.SourceSaysOK, incident.Muted}).Draw(m.t, "state"), StartsAt: m.now,
	}, m.now)
}

func (m *machine) approve() {
	if run := m.in.CurrentRun(); run != nil && run.Status == runbooks.RunWaiting {
		digest := rapid.SampledFrom([]string{run.Plan.Digest, "another"}).Draw(m.t, "digest")
		run.Decisions = append(run.Decisions, incident.Approval{By: "ada", Approved: rapid.Bool().Draw(m.t, "yes"), PlanDigest: digest})
	}
}

func (m *machine) startRun() {
	if m.in.CurrentRun() != nil || m.in.Work != nil || !m.in.Status.MayBecome(incident.Diagnosing) {
		return
	}
	m.become(incident.Diagnosing, Decision{})
	m.in.Runs = append(m.in.Runs, incident.Run{
		ID: "run-" + string(rune('a'+len(m.in.Runs))), Runbook: "rotate", Target: "web1", Status: runbooks.RunPlanned,
		DryRun: rapid.Bool().Draw(m.t, "dry"), Hypothesis: &incident.HypothesisRef{Band: diagnostics.Possible},
	})
}

func (m *machine) reopen() {
	if run := m.in.CurrentRun(); run != nil && run.Status == runbooks.RunRunning || !m.in.Status.MayBecome(incident.Diagnosing) {
		return
	}
	m.become(incident.Diagnosing, Decision{})
	m.in.Work = nil
	for i := range m.in.Runs {
		m.in.Runs[i].Judged = true
	}
	if run := m.in.CurrentRun(); run != nil {
		run.Status, run.EndedAt = runbooks.RunCancelled, m.now
	}
	m.in.Stale, m.in.Failures, m.in.Tried = true, 0, nil
}

// Whatever comes in whatever order: deciding ends, nothing sleeps for ever,
// nothing is changed that nobody allowed, and nothing counts as fixed that was
// not measured.
func TestDecidingHoldsInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{t: t, in: firing(incident.New), agent: true, now: t0}
		if rapid.Bool().Draw(t, "asked for") {
			m.in = incident.Request("inc-1", "asked for", "web1", t0)
			m.startRun()
		}
		m.policy = policy(func(p *Policy) {
			p.Level = rapid.SampledFrom([]runbooks.Level{runbooks.Observe, runbooks.Suggest, runbooks.Approve, runbooks.Auto}).Draw(t, "level")
		})
		m.step()
		t.Repeat(map[string]func(*rapid.T){
			"report": func(*rapid.T) { m.report(); m.step() },
			"again":  func(*rapid.T) { m.report(); m.step() }, // agents answer more often than not
			"signal": func(*rapid.T) { m.signal(); m.step() },
			"person": func(t *rapid.T) {
				rapid.SampledFrom([]func(){m.approve, m.approve, m.startRun, m.reopen}).Draw(t, "act")()
				m.step()
			},
			"time": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "seconds")) * time.Second)
				m.step()
			},
			"rules": func(t *rapid.T) { m.ask = rapid.Bool().Draw(t, "askable"); m.step() },
			"agent": func(t *rapid.T) { m.agent = rapid.Bool().Draw(t, "reaches"); m.step() },
		})
	})
}

package triage

import (
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/runbooks"
)

// Policy is what the owner allows. The zero value allows nothing; use
// DefaultPolicy.
type Policy struct {
	Level           runbooks.Level // in force for runbooks without a grant
	Grants          []Grant
	MaxAttempts     int           // cures tried for one incident
	MaxFailures     int           // jobs in a row without a finding
	ApprovalTimeout time.Duration // then a person is called
	ReportGrace     time.Duration // beyond a job's deadline, before its agent counts as silent
	RetryAfter      time.Duration // pause after a job without a finding
	UnverifiedHold  time.Duration // how long "source says resolved" must stay, where nothing can be measured
	AlertLag        time.Duration // how long an alert's expression may go on after a cure: it looks back over minutes
	MaxHold         time.Duration // longest hold of a verification; 0 means as the runbook says
}

// Grant raises (or lowers) the level for one runbook. An admin gives it; it is
// audited and it expires.
type Grant struct {
	Runbook string
	Target  string // entity id; "" means every target
	Level   runbooks.Level
	By      string
	Expires time.Time
}

// DefaultPolicy asks before each change.
func DefaultPolicy() Policy {
	return Policy{
		Level: runbooks.Approve, MaxAttempts: 3, MaxFailures: 3,
		ApprovalTimeout: time.Hour, ReportGrace: 30 * time.Second, RetryAfter: 10 * time.Second,
		UnverifiedHold: 5 * time.Minute, AlertLag: 10 * time.Minute,
	}
}

// LevelFor returns the level in force for a plan against a hypothesis of the
// band, and who granted it. The runbook's autonomy is a ceiling, an
// irreversible plan, and one that asks for people, always needs them, and only a confirmed cause may be
// acted on unattended (DESIGN promise 7).
func (p Policy) LevelFor(plan *runbooks.Plan, band diagnostics.Band, now time.Time) (runbooks.Level, string) {
	level, by := p.granted(plan.Runbook, plan.Target, now)
	level = lower(level, plan.Autonomy)
	if plan.Effect == runbooks.Irreversible || plan.Approvals > 0 || band != diagnostics.Confirmed {
		level = lower(level, runbooks.Approve)
	}
	return level, by
}

func (p Policy) granted(runbook, target string, now time.Time) (runbooks.Level, string) {
	for _, g := range p.Grants {
		if g.Runbook == runbook && (g.Target == "" || g.Target == target) && now.Before(g.Expires) {
			return g.Level, g.By
		}
	}
	return p.Level, "policy"
}

func lower(a, b runbooks.Level) runbooks.Level {
	if rank(b) < rank(a) {
		return b
	}
	return a
}

// rank orders the levels; an unknown one is below them all.
func rank(l runbooks.Level) int {
	switch l {
	case runbooks.Observe:
		return 1
	case runbooks.Suggest:
		return 2
	case runbooks.Approve:
		return 3
	case runbooks.Auto:
		return 4
	}
	return 0
}

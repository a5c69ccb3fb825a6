package triage

import (
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/runbooks"
)

func TestStandingSaysWhyItIsNotHigher(t *testing.T) {
	t.Parallel()
	grant := func(target string, level runbooks.Level, until time.Duration) func(*Policy) {
		return func(p *Policy) {
			p.Grants = append(p.Grants, Grant{Runbook: "rotate", Target: target, Level: level, By: "ada", Expires: t0.Add(until)})
		}
	}
	for name, c := range map[string]struct {
		policy  Policy
		ceiling runbooks.Level
		effect  runbooks.Effect
		want    runbooks.Level
		says    string
		not     string
	}{
		"the policy is lower":     {policy(nil), runbooks.Auto, runbooks.Write, runbooks.Approve, "auto in the file, approve by policy: no grant", "unattended"},
		"the file is lower":       {policy(grant("", runbooks.Auto, time.Hour)), runbooks.Suggest, runbooks.Write, runbooks.Suggest, "suggest in the file, auto by a grant of ada", "policy:"},
		"granted":                 {policy(grant("", runbooks.Auto, time.Hour)), runbooks.Auto, runbooks.Write, runbooks.Auto, "a confirmed cause only", ", ended on"},
		"granted for one host":    {policy(grant("web1", runbooks.Auto, time.Hour)), runbooks.Auto, runbooks.Write, runbooks.Approve, "ada granted auto for web1 until", "unattended"},
		"the grant is over":       {policy(grant("", runbooks.Auto, 0)), runbooks.Auto, runbooks.Write, runbooks.Approve, "the grant of ada, auto for every target, ended on", "unattended"},
		"irreversible":            {policy(grant("", runbooks.Auto, time.Hour)), runbooks.Auto, runbooks.Irreversible, runbooks.Approve, "cannot be taken back", "unattended"},
		"an observer may nothing": {policy(func(p *Policy) { p.Level = runbooks.Observe }), runbooks.Auto, runbooks.Write, runbooks.Observe, "observe by policy", "unattended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.policy.StandingOf("rotate", c.ceiling, c.effect, t0)
			text := strings.Join(s.Because, "; ")
			if s.Level != c.want || s.Ceiling != c.ceiling || !strings.Contains(text, c.says) || strings.Contains(text, c.not) {
				t.Errorf("%s of %s: %s", s.Level, s.Ceiling, text)
			}
			// It is what a plan would get, on a host without a grant of its own.
			level, _ := c.policy.LevelFor(&runbooks.Plan{Runbook: "rotate", Target: "other", Autonomy: c.ceiling, Effect: c.effect}, diagnostics.Confirmed, t0)
			if level != s.Level {
				t.Errorf("a plan would get %s", level)
			}
		})
	}
}

package triage

import (
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/runbooks"
)

// Standing is how far a runbook may go by itself now, and the arithmetic of it.
// It is about any target and a confirmed cause; LevelFor weighs one plan.
type Standing struct {
	Level   runbooks.Level // in force
	Ceiling runbooks.Level // of its file
	Because []string       // sentences for people, the deciding one first
}

// StandingOf explains the level of a runbook whose strongest step has the effect.
func (p Policy) StandingOf(runbook string, ceiling runbooks.Level, effect runbooks.Effect, now time.Time) Standing {
	given, by := p.granted(runbook, "", now)
	s := Standing{Level: lower(given, ceiling), Ceiling: ceiling}
	source := "by policy: no grant names it for every target"
	if by != "policy" {
		source = "by a grant of " + by
	}
	s.Because = append(s.Because, fmt.Sprintf("%s in the file, %s %s", ceiling, given, source))
	if effect == runbooks.Irreversible && rank(s.Level) > rank(runbooks.Approve) {
		s.Level = runbooks.Approve
		s.Because = append(s.Because, "a step of it cannot be taken back: approve at most, unless the plan says that the target's owner has given the files up")
	}
	for _, g := range p.Grants {
		if g.Runbook != runbook {
			continue
		}
		where := "every target"
		if g.Target != "" {
			where = g.Target
		}
		if now.Before(g.Expires) {
			s.Because = append(s.Because, fmt.Sprintf("%s granted %s for %s until %s", g.By, g.Level, where, g.Expires.UTC().Format(time.RFC3339)))
			continue
		}
		s.Because = append(s.Because, fmt.Sprintf("the grant of %s, %s for %s, ended on %s", g.By, g.Level, where, g.Expires.UTC().Format(time.RFC3339)))
	}
	if s.Level == runbooks.Auto {
		s.Because = append(s.Because, "unattended on a confirmed cause only; a likely one asks a person")
	}
	return s
}

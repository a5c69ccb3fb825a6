package diagnostics

import (
	"context"
	"slices"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

// Check is a scheduled health check: probes and an expectation. It comes from
// ParseCheck, does not change, and is safe for concurrent use.
type Check struct {
	Name     string
	Title    string
	Schedule string // cron text; who schedules reads it
	Targets  Targets
	Expect   string
	Because  string // what it means when the expectation does not hold
	Severity string // of the signal: critical, high, warning, info
	File     string
	Source   []byte // the file
	Digest   string // "sha256:" and the hex digest of the file

	readings []reading
	claim    claim
}

// Targets selects the entities of a check. At least one of its fields is given.
type Targets struct {
	Entity string
	Group  string
}

// Matches reports whether the check is for the entity.
func (t Targets) Matches(e entity.Entity) bool {
	return (t.Entity != "" && t.Entity == e.ID) || (t.Group != "" && slices.Contains(e.Groups, t.Group))
}

type authoredCheck struct {
	Name     scalar           `yaml:"name,required"`
	Title    string           `yaml:"title,required"`
	Schedule string           `yaml:"schedule,required"`
	Targets  authoredTargets  `yaml:"targets,required"`
	Probes   authoredReadings `yaml:"probes,required"`
	Expect   scalar           `yaml:"expect,required"`
	Because  scalar           `yaml:"because,required"`
	Severity scalar           `yaml:"severity,required"`
}

type authoredTargets struct {
	Entity string `yaml:"entity"`
	Group  string `yaml:"group"`
}

// ParseCheck reads one check file and compiles its expectation against what the
// probes declare. All mistakes are reported at once, as yamlx.Errors.
func ParseCheck(file string, data []byte, probes *ProbeSet) (*Check, error) {
	var a authoredCheck
	root, err := decodeFile(file, data, &a)
	if err != nil {
		return nil, err
	}
	l := &loader{root: root, probes: probes}
	l.check(a.Name.text != "", a.Name.node, "a check needs a name")
	l.check(a.Targets != authoredTargets{}, l.at("targets"), "targets name neither an entity nor a group")
	l.check(slices.Contains([]string{"critical", "high", "warning", "info"}, a.Severity.text), a.Severity.node,
		"severity must be critical, high, warning or info")
	c := &Check{
		Name: a.Name.text, Title: a.Title, Schedule: a.Schedule, Targets: Targets(a.Targets),
		Expect: a.Expect.text, Because: a.Because.text, Severity: a.Severity.text, File: file,
		Source: data, Digest: digestOf(data),
	}
	// There is no onset and no hint yet: a check looks at what is there.
	about := slices.DeleteFunc(subjectFields(), func(f expr.Field) bool { return f.Name != varEntity })
	c.readings = l.readings(a.Probes, l.env(about), []string{varHints, varEntity, varOnset, varObject})
	all := l.env(about, asFields(c.readings))
	c.claim = claim{that: a.Expect.text, program: l.program(all, a.Expect, expr.Bool), otherwise: l.template(all, a.Because)}
	if err := l.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// RunCheck reads the check's probes and asks its expectation. A reading that
// went wrong makes it "cannot tell", which is neither a pass nor a failure. The
// error is that of ctx.
func (c *Collector) RunCheck(ctx context.Context, r remote.Runner, check *Check, subject Subject) (Measurement, error) {
	run := c.start(r, subject)
	budgeted, cancel := context.WithTimeout(ctx, withDefault(c.Budget, DefaultBudget))
	defer cancel()
	run.read(budgeted, requests(check.readings, newBinding(subject)))
	truth, _, text := check.claim.ask(newBinding(subject).read(check.readings, run.index()))
	return Measurement{That: check.Expect, Truth: truth, Text: text, Facts: run.facts, At: c.Now()}, ctx.Err()
}

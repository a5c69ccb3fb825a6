package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// Approved is what people, or the policy, said yes to. The digest is what
// counts. The plan lets a run be narrower than it; without one, nothing may
// differ.
type Approved struct {
	Digest string
	Plan   *runbooks.Plan
	By     []string // people; who is there twice counts once
}

// enough refuses a plan that fewer people have approved than it asks for.
func (a Approved) enough(p runbooks.Plan) error {
	people := []string{}
	for _, name := range a.By {
		if !slices.ContainsFunc(people, func(other string) bool { return runbooks.SamePerson(other, name) }) {
			people = append(people, name)
		}
	}
	if len(people) < p.Approvals {
		return fault.New(fault.Denied, "the plan asks for %d people, and %d approved it", p.Approvals, len(people))
	}
	return nil
}

// check refuses a plan that is not the one with the digest.
func (a Approved) check() error {
	if a.Plan != nil && runbooks.DigestPlan(*a.Plan) != a.Digest {
		return fault.New(fault.Denied, "the plan that came with the run is not the one that was approved")
	}
	return nil
}

// Narrower is an action whose change has parts that stand for themselves, such
// as files to delete. Its Plan gives each a mark in Change.Parts, which is
// equal only while that part is still exactly what it was. Narrow returns the
// change with those parts that keep accepts and no others; it only computes.
type Narrower interface {
	PartName() string // one part, in a word
	Narrow(c Change, keep func(part string) bool) (Change, error)
}

// admit decides whether what was planned now is what was approved, or can be
// made a part of it. Steps are narrowed in place. An error is a drift: what
// would be done now is wider or different.
func (p *prepared) admit(a Approved, d Deps) error {
	if p.plan.Digest == a.Digest {
		return nil
	}
	if a.Plan == nil {
		return drift("the plan is no longer the one that was approved")
	}
	if !sameButSteps(*a.Plan, p.plan) {
		return drift("%s", frameDifference(*a.Plan, p.plan))
	}
	for i, planned := range a.Plan.Steps {
		if sameStep(planned, p.plan.Steps[i]) {
			continue
		}
		if err := p.narrow(i, planned, d); err != nil {
			return err
		}
	}
	p.plan.Digest = a.Digest
	return nil
}

// narrow makes step i what is both approved and planned now.
func (p *prepared) narrow(i int, approved runbooks.PlannedStep, d Deps) error {
	now := p.plan.Steps[i]
	action, err := d.action(now.Action)
	if err != nil {
		return err
	}
	narrower, able := action.(Narrower)
	wider := approved.Noop || len(approved.Parts) == 0
	if !able || wider || !sameButParts(approved, now) {
		return drift("step %s: %s", now.ID, stepDifference(approved, now))
	}
	yes := map[string]bool{}
	for _, part := range approved.Parts {
		yes[part] = true
	}
	change, err := narrower.Narrow(p.changes[i].Change, func(part string) bool { return yes[part] })
	if err != nil {
		return fmt.Errorf("narrow step %s: %w", now.ID, err)
	}
	for _, part := range change.Parts {
		if !yes[part] {
			return fault.New(fault.Internal, "action %s made step %s wider than approved", now.Action, now.ID)
		}
	}
	change.Effect = p.changes[i].Change.Effect // that of the rule, however few parts are left
	p.changes[i].Change = change
	p.changes[i].Narrowed = leftAlone(approved.Parts, now.Parts, len(change.Parts), narrower.PartName())
	return nil
}

// leftAlone says what of the approved parts and of those planned now a step
// does not touch.
func leftAlone(approved, now []string, kept int, name string) string {
	said := []string{}
	if n := len(now) - kept; n > 0 {
		said = append(said, fmt.Sprintf("left alone %s not in the approved plan (new, or changed since)", count(n, name)))
	}
	if n := len(approved) - kept; n > 0 {
		said = append(said, fmt.Sprintf("did not find %s as approved", count(n, name)))
	}
	return strings.Join(said, " and ")
}

func count(n int, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return fmt.Sprintf("%d %ss", n, name)
}

func drift(format string, args ...any) error {
	return fault.New(fault.Denied, "the world drifted: "+format, args...)
}

// sameButSteps compares by the digest, so that it can never cover less. The
// steps must be the same ones in the same order. The plan's effect follows from
// them.
func sameButSteps(a, b runbooks.Plan) bool {
	same := slices.EqualFunc(a.Steps, b.Steps, func(x, y runbooks.PlannedStep) bool { return x.ID == y.ID })
	a.Steps, b.Steps, a.Effect, b.Effect = nil, nil, "", ""
	return same && runbooks.DigestPlan(a) == runbooks.DigestPlan(b)
}

func sameStep(a, b runbooks.PlannedStep) bool {
	digest := func(s runbooks.PlannedStep) string {
		return runbooks.DigestPlan(runbooks.Plan{Steps: []runbooks.PlannedStep{s}})
	}
	return digest(a) == digest(b)
}

// sameButParts leaves out what follows from the parts: the diff, what is
// touched, and that nothing is left to do.
func sameButParts(a, b runbooks.PlannedStep) bool {
	a.Parts, a.Diff, a.Noop, a.Touches = b.Parts, b.Diff, b.Noop, b.Touches
	return sameStep(a, b)
}

func frameDifference(a, b runbooks.Plan) string {
	switch {
	case a.Runbook != b.Runbook || a.RunbookDigest != b.RunbookDigest:
		return "the runbook is another one"
	case a.Target != b.Target:
		return fmt.Sprintf("the target was %q and is %q", a.Target, b.Target)
	case !maps.Equal(a.Inputs, b.Inputs):
		return "the inputs are others"
	case !slices.Equal(a.Locks, b.Locks):
		return fmt.Sprintf("the locks were %q and are %q", a.Locks, b.Locks)
	}
	for i, was := range a.Preconditions {
		if i < len(b.Preconditions) && was.Truth != b.Preconditions[i].Truth {
			return fmt.Sprintf("%s was %s and is %s", was.That, was.Truth, b.Preconditions[i].Truth)
		}
	}
	return "the plan is no longer the one that was approved"
}

func stepDifference(a, b runbooks.PlannedStep) string {
	switch {
	case a.Skipped != "" && b.Skipped == "":
		return "it was not to be carried out, and now would be"
	case a.Skipped == "" && b.Skipped != "":
		return "it was to be carried out, and now does not apply: " + b.Skipped
	case a.Noop && !b.Noop:
		return "it had nothing to change, and now would change something"
	case !a.Noop && b.Noop:
		return "it was to change something, and now has nothing to change"
	case a.Effect != b.Effect:
		return fmt.Sprintf("its effect was %s and is %s", a.Effect, b.Effect)
	case !slices.Equal(a.Argv, b.Argv):
		return fmt.Sprintf("its command was %q and is %q", a.Argv, b.Argv)
	case a.Diff != b.Diff || !slices.Equal(a.Parts, b.Parts):
		return "what it would change is no longer what was approved"
	}
	return "it is no longer what was approved"
}

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// What one step takes at worst, besides its timeout of 2m, and what is left for
// the run around them: the deadline of a draft.
const (
	draftStepTakes = 6 * time.Minute
	draftRunTakes  = 10 * time.Minute
)

// cause is that of the best hypothesis, where its file is at hand.
func (d *draft) cause() *diagnostics.Cause {
	if d.about == nil {
		return nil
	}
	found, err := d.known.Causes.Find(d.about.Cause)
	if err != nil {
		return nil
	}
	return found
}

// measured returns the cause's symptom where a runbook can ask for it; else why not.
func (d *draft) measured(c *diagnostics.Cause) (s symptom, missing string) {
	switch {
	case d.about == nil:
		return s, "the incident has no hypothesis, so nothing says how the symptom is measured"
	case c == nil:
		return s, "the file of cause " + oneLine(d.about.Cause) + " is not at hand"
	case c.Symptoms.Holds == "":
		return s, "cause " + c.ID + " does not say how its symptom is measured"
	}
	s = symptomOf(c)
	if _, err := loadable("draft", curing("draft", c, s), d.options); err != nil {
		return s, "the symptom of " + c.ID + " reads what a runbook does not: " + oneLine(c.Symptoms.Holds)
	}
	return s, ""
}

// text is the file.
func (d *draft) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	cause := d.cause()
	s, missing := d.measured(cause)
	steps := d.stepLines(s, missing)

	line("# Drafted from what was done%s. Behind CHANGE stands what a person must decide; lint says it, too.", d.origin())
	line("# The rules: docs/runbook-format.md, or secondline runbook explain. Actions: secondline runbook explain --actions.")
	if cause != nil {
		for _, never := range cause.Never {
			line("# Never: %s", oneLine(never))
		}
	}
	title := "CHANGE: what it does, in a few words"
	if cause != nil {
		title = "Cure: " + cause.Title
	}
	line("apiVersion: secondline/v1\nkind: Runbook\nmetadata:\n  name: %s\n  title: %s", d.name, quoted(title))
	line("  # owner: the team that answers for it\nspec:")
	if d.about == nil {
		line("  # cures: [the id of a cause]   # without it, only people start it; secondline cause list --local")
	} else {
		line("  cures: [%s]", quoted(d.about.Cause))
	}
	if inputs := d.inputs(cause, steps); len(inputs) > 0 {
		line("  inputs: # typed, and checked wherever they come from")
		for _, key := range inputs {
			line("    %s: {type: %s, from: hypothesis.object.%[1]s}", key, typeOfKey(key))
		}
	}
	line("  limits:\n    locks: [host] # nothing else is done to the host meanwhile\n    deadline: %s", yamlx.FormatDuration(d.deadline()))
	if missing == "" {
		line("  probes: # read again each time an expression uses them")
		for _, p := range s.probes {
			line("    %s", p)
		}
		line("  require: # right before the first step; false or cannot tell refuses\n    - that: %s\n      because: the symptom is gone", quoted(s.holds))
	} else {
		line("  # CHANGE: %s.\n  # probes: {status: {probe: unit.status, with: {unit: …}}}   # secondline probe list\n  # require: [{that: …, because: the symptom is gone}]", missing)
	}
	b.WriteString(steps)
	line("  autonomy: approve # a person says yes to each plan; auto is possible once it has earned it")
	line("  # escalate: {to: a team, collect: [journal], say: what it did not cure}")
	return b.String()
}

func (d *draft) origin() string {
	if d.title == "" {
		return ""
	}
	return fmt.Sprintf(" in %s: %s", strings.ReplaceAll(d.name, "-", " "), oneLine(d.title))
}

// inputs are the keys of the object that the cause names or that a step reads.
func (d *draft) inputs(c *diagnostics.Cause, steps string) []string {
	if d.about == nil {
		return nil
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(d.about.Object)) {
		if c != nil && slices.Contains(c.Object, key) || strings.Contains(steps, "${inputs."+key+"}") {
			keys = append(keys, key)
		}
	}
	if c != nil {
		for _, key := range c.Object {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// deadline has room for all steps.
func (d *draft) deadline() time.Duration {
	return draftRunTakes + time.Duration(max(1, len(d.steps)))*draftStepTakes
}

// stepLines writes the steps. The last that changes something is followed by the
// symptom: it must be gone then. What must be true between them only a person
// knows.
func (d *draft) stepLines(s symptom, missing string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "    "+format+"\n", args...) }
	if !slices.ContainsFunc(d.steps, draftStep.isStep) {
		line("# CHANGE: nothing was found that could be a step")
	}
	last := -1
	for i, step := range d.steps {
		if step.isStep() && step.changes {
			last = i
		}
	}
	number := 0
	for i, step := range d.steps {
		for _, c := range step.comments {
			line("# %s", oneLine(c))
		}
		if !step.isStep() {
			continue
		}
		number++
		line("- id: step-%d", number)
		for _, key := range step.keys {
			line("  %s", strings.TrimSuffix(key.name+": "+key.value+" # "+key.comment, " # "))
		}
		switch {
		case !step.changes:
		case i == last && missing == "":
			line("  verify: # an exit status is no proof: the symptom is measured again")
			line("    that: %s\n        within: 1m\n        hold: 30s", quoted(s.gone))
		case i == last:
			line("  # CHANGE: verify: {that: …, within: 1m, hold: 30s}   # %s", missing)
		case step.keys[0].name == "run":
			line("  # CHANGE: verify: {that: …, within: 1m}   # what is true once this step has done its part")
		}
	}
	if number == 0 {
		return "  steps: []\n" + b.String()
	}
	return "  steps:\n" + b.String()
}

// isStep reports whether it is more than a comment.
func (s draftStep) isStep() bool { return len(s.keys) > 0 }

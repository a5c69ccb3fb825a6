package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
)

// word is a step that is a word of the language and no action: it changes
// nothing, and needs what only the engine has.
type word struct{ name string }

var _ Action = word{}

// Name implements runbooks.Decoder.
func (w word) Name() string { return w.name }

// Decode implements runbooks.Decoder. The loader reads words by itself.
func (w word) Decode(n *yamlx.Node, _ *runbooks.StepContext) (runbooks.Decoded, error) {
	return runbooks.Decoded{}, n.Errorf("%s is a word of the language", w.name)
}

// Plan implements Action.
func (w word) Plan(ctx context.Context, env *Env) (Change, error) {
	said, _ := env.Step.With.(string)
	switch w.name {
	case runbooks.StepNote, runbooks.StepEscalate:
		text, err := env.scope.render(ctx, said)
		if err != nil {
			return Change{}, err
		}
		saved, err := json.Marshal(text)
		return Change{Diff: text, Saved: saved}, err
	case runbooks.StepApprove:
		return planApproval(ctx, env)
	case runbooks.StepProbe:
		return Change{Diff: "reads " + said}, nil
	}
	return Change{}, nil
}

// Apply implements Action.
func (w word) Apply(ctx context.Context, env *Env, c Change) (Outcome, error) {
	said, _ := env.Step.With.(string)
	switch w.name {
	case runbooks.StepNote, runbooks.StepEscalate:
		text := ""
		if err := json.Unmarshal(c.Saved, &text); err != nil {
			return Outcome{}, fault.Wrap(fault.Internal, err, "read what is to be said")
		}
		return Outcome{Changed: text}, nil
	case runbooks.StepProbe:
		value, err := env.scope.probe(ctx, said)
		if err != nil {
			return Outcome{}, err
		}
		return Outcome{Result: value, Changed: "read " + said + ": " + brief(value)}, nil
	}
	return Outcome{}, nil
}

// planApproval says who is asked. At the run there is nothing left to do: it
// begins only when they have said yes.
func planApproval(ctx context.Context, env *Env) (Change, error) {
	a, ok := env.Step.With.(runbooks.Approval)
	if !ok {
		return Change{}, fault.New(fault.Internal, "step %s was not read by approve", env.Step.ID)
	}
	who, role := "one person", ""
	if a.Count > 1 {
		who = fmt.Sprintf("%d different people", a.Count)
	}
	if a.Role != "" {
		role = " of role " + a.Role
	}
	text := "before the run begins, yes of " + who + role
	if a.Within > 0 {
		text += ", within " + a.Within.String()
	}
	said, err := env.scope.render(ctx, a.Say)
	if said != "" {
		text += ": " + said
	}
	return Change{Diff: text, Noop: true}, err
}

// brief shows the scalars of a reading.
func brief(value map[string]any) string {
	words := []string{}
	for _, name := range slices.Sorted(maps.Keys(value)) {
		if scalar(value[name]) {
			words = append(words, name+" = "+inUnit(value[name], ""))
		}
	}
	return strings.Join(words, ", ")
}

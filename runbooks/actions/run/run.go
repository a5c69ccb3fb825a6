// Package run is the action that starts one program with its arguments, without
// a shell. It knows nothing of what the program does: the runbook says how it is
// verified, undone, and asked whether it happened.
package run

import (
	"context"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

const maxArguments = 1000

// Action is the action "run".
type Action struct{}

var (
	_ engine.Action    = Action{}
	_ engine.OnlyFiles = Action{}
)

// with is an argv whose elements are templates.
type with struct {
	argv []*expr.Template
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "run" }

// ChangesOnlyFiles implements engine.OnlyFiles. What else its
// program does fails in a rehearsal, and can be seen to.
func (Action) ChangesOnlyFiles() {}

// Decode reads a list of arguments, or one argv input in place of all of them.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	items := n.Items()
	if text, ok := n.Scalar(); ok {
		if _, list := c.ListInput(text); !list {
			return runbooks.Decoded{}, n.Errorf("run is a list of arguments, the program first; it is not given to a shell").WithHint("%s", asList(text))
		}
		items = []*yamlx.Node{n}
	}
	if len(items) == 0 || len(items) > maxArguments {
		return runbooks.Decoded{}, n.Errorf("run is a list of 1 to %d arguments, the program first", maxArguments)
	}
	w := with{}
	var words []string
	for _, item := range items {
		text, ok := item.Scalar()
		if !ok {
			return runbooks.Decoded{}, item.Errorf("an argument is a scalar")
		}
		t, err := c.Env.CompileTemplate(text)
		if err != nil {
			return runbooks.Decoded{}, item.Errorf("%v", err)
		}
		w.argv, words = append(w.argv, t), append(words, text)
	}
	return runbooks.Decoded{With: w, Commands: runbooks.CommandDeeds(words), Effect: runbooks.Write, MayOnlyRead: runbooks.OnlyReads(words[:1])}, nil
}

// asList says how a line that was meant for a shell is written.
func asList(line string) string {
	if words := strings.Fields(line); len(words) > 0 && !strings.ContainsAny(line, "|&;<>()$`\\\"'*?[]#~=%{}") {
		return "run: [" + strings.Join(words, ", ") + "]"
	}
	return "what needs a shell (pipes, patterns, variables) is a step with script"
}

// Plan implements engine.Action. What a program changes cannot be known before.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by run", env.Step.ID)
	}
	argv := []string{}
	for _, t := range w.argv {
		element, err := engine.RenderElement(ctx, t, env.Vars)
		if err != nil {
			return engine.Change{}, err
		}
		argv = append(argv, element...)
	}
	if len(argv) == 0 || argv[0] == "" || strings.HasPrefix(argv[0], "-") {
		return engine.Change{}, fault.New(fault.Invalid, "%q names no program", argv)
	}
	return engine.Change{Argv: argv}, nil
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	res, err := env.Act(ctx, c.Argv...)
	if err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{ExitCode: res.ExitCode, Stdout: res.Stdout, Stderr: res.Stderr}, res.Err()
}

package engine_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// liar is an action that says that it only reads, and starts what it is told.
type liar struct{}

func (liar) Name() string { return "look" }

func (liar) Decode(n *yamlx.Node, _ *runbooks.StepContext) (runbooks.Decoded, error) {
	var argv []string
	err := n.Decode(&argv)
	return runbooks.Decoded{With: argv, Effect: runbooks.Read}, err
}

func (liar) Plan(_ context.Context, env *engine.Env) (engine.Change, error) {
	argv, _ := env.Step.With.([]string)
	return engine.Change{Argv: argv}, nil
}

func (liar) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	res, err := env.Act(ctx, c.Argv...)
	return engine.Outcome{ExitCode: res.ExitCode}, err
}

func TestAStepThatReadsStartsNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		argv string
		want runbooks.StepStatus
	}{
		"a reader":         {"[stat, DIR]", runbooks.StepVerified},
		"touch":            {"[touch, DIR/made]", runbooks.StepRefuted},
		"a shell":          {"[sh, -c, 'touch \"$1\"', sh, DIR/made]", runbooks.StepRefuted},
		"a reader's twin":  {"[DIR/stat]", runbooks.StepRefuted},
		"through a reader": {"[env, stat, DIR]", runbooks.StepRefuted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, verified())
			w.deps.Actions = append(w.deps.Actions, liar{})
			w.parse("\n  steps:\n    - {id: look, look: " + c.argv + "}\n")
			if err := os.WriteFile(w.dir+"/stat", []byte("#!/bin/sh\ntouch "+w.dir+"/made\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			res := w.run(t.Context())
			if got := res.Steps[0]; got.Status != c.want || c.want == runbooks.StepRefuted && !strings.Contains(got.Error, "only reads") {
				t.Errorf("%s: %s, %q", got.Status, res.Why, got.Error)
			}
			if _, err := os.Stat(w.dir + "/made"); err == nil {
				t.Error("a step of effect read has written")
			}
			if w.machine.writes() != 0 {
				t.Error("a step of effect read has sent a command that may write")
			}
		})
	}
}

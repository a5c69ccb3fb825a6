package engine_test

import (
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

const oneRun = `
  probes:
    goal: {probe: file.lines, with: {path: DIR/goal}}
    sign: {probe: file.lines, with: {path: DIR/sign}}
  require:
    - {that: goal.n == 0, because: the goal is reached already}
  steps:
    - id: act
      if: sign.n == 0
      run: [sh, -c, 'echo acted >> "$1"', sh, DIR/one, "${target.address}"]
      verify: {that: goal.n == 0, within: 1s}
      undo: none
`

// TestADriftThatCannotBeNarrowedRefuses: the approved plan is there, and is
// what its digest says, but what a command does has no parts.
func TestADriftThatCannotBeNarrowedRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(w *world, b *engine.Binding, p *runbooks.Plan)
		why    string
	}{
		"command": {
			func(_ *world, b *engine.Binding, _ *runbooks.Plan) { b.Target.Address = "127.0.0.2" }, "step act: its command was ",
		},
		"target": {
			func(_ *world, b *engine.Binding, _ *runbooks.Plan) { b.Target.ID = "there" }, `the target was "here" and is "there"`,
		},
		"skipped now": {
			func(w *world, _ *engine.Binding, _ *runbooks.Plan) {
				w.setProbes(probes{read: func(path string) (map[string]any, error) {
					if strings.HasSuffix(path, "/sign") {
						return map[string]any{"n": int64(1)}, nil
					}
					return map[string]any{"n": int64(0)}, nil
				}})
			}, "does not apply",
		},
		"precondition": {
			func(_ *world, _ *engine.Binding, p *runbooks.Plan) { p.Preconditions[0].Truth = expr.CannotTell }, "goal.n == 0 was cannot_tell and is true",
		},
		"runbook": {
			func(_ *world, _ *engine.Binding, p *runbooks.Plan) { p.RunbookDigest = "sha256:other" }, "the runbook is another one",
		},
		"a step less": {
			func(_ *world, _ *engine.Binding, p *runbooks.Plan) { p.Steps = nil }, "no longer the one that was approved",
		},
		"parts of a command": {
			func(_ *world, _ *engine.Binding, p *runbooks.Plan) { p.Steps[0].Parts = []string{"all"} }, "step act: what it would change",
		},
		"nothing to do then": {
			func(_ *world, _ *engine.Binding, p *runbooks.Plan) { p.Steps[0].Noop = true }, "step act: it had nothing to change",
		},
		"skipped then": {
			func(_ *world, _ *engine.Binding, p *runbooks.Plan) { p.Steps[0].Skipped = "sign.n == 0 is false" }, "step act: it was not to be carried out",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, oneRun)
			p, b := w.plan(), w.binding()
			tt.change(w, &b, &p)
			res, err := engine.Run(t.Context(), w.machine, b, engine.Approved{Digest: runbooks.DigestPlan(p), Plan: &p}, w.deps)
			if err != nil {
				t.Fatal(err)
			}
			w.status(res, runbooks.RunRefused)
			if !strings.Contains(res.Why, "drifted") || !strings.Contains(res.Why, tt.why) {
				t.Errorf("why: %s", res.Why)
			}
			if w.lines("one") != 0 || w.journal.appends != 0 {
				t.Error("a refused run acted")
			}
		})
	}
}

func TestAForgedPlanIsRefusedBeforeAnythingIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneRun)
	p := w.plan()
	digest := p.Digest
	p.Steps[0].Argv = []string{"true"}
	p.Digest = runbooks.DigestPlan(p)
	before := len(w.machine.commands)
	res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest, Plan: &p}, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	w.status(res, runbooks.RunRefused)
	if len(w.machine.commands) != before || w.journal.appends != 0 || res.PlanDigest != digest {
		t.Errorf("%d commands, plan %s", len(w.machine.commands)-before, res.PlanDigest)
	}
}

func TestTheApprovedPlanUnchangedIsCarriedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneRun)
	p := w.plan()
	res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: p.Digest, Plan: &p}, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	w.status(res, runbooks.RunVerified)
	if res.Why != "every step was verified" || w.lines("one") != 1 {
		t.Errorf("%s, acted %d times", res.Why, w.lines("one"))
	}
}

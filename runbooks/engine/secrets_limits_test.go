package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// curious is an action that asks for secrets, when it plans or when it acts, and
// keeps what it got.
type curious struct {
	engine.Action
	asksWhilePlanning, asksWhileActing string

	got string
	err error
}

func (c *curious) ask(ctx context.Context, env *engine.Env, name string) {
	if name != "" {
		value, err := env.Secret(ctx, name)
		c.got, c.err = string(value), err
	}
}

func (c *curious) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	c.ask(ctx, env, c.asksWhilePlanning)
	return c.Action.Plan(ctx, env)
}

func (c *curious) Apply(ctx context.Context, env *engine.Env, change engine.Change) (engine.Outcome, error) {
	c.ask(ctx, env, c.asksWhileActing)
	return c.Action.Apply(ctx, env, change)
}

func (w *world) makeCurious(c *curious) *curious {
	w.t.Helper()
	for i, a := range w.deps.Actions {
		if a.Name() == "script" {
			c.Action = a
			w.deps.Actions[i] = c
			return c
		}
	}
	w.t.Fatal("there is no action script")
	return nil
}

// TestWhilePlanningThereAreNoSecrets, not even for an action that asks for one
// that its step takes: whatever it plans is shown to people.
func TestWhilePlanningThereAreNoSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(tells, "EXIT", "0", 1))
	v := w.useSecrets(map[string]string{"db": hostile})
	c := w.makeCurious(&curious{asksWhilePlanning: "db"})
	p := w.plan()
	if v.reads != 0 || c.got != "" || !fault.Is(c.err, fault.Denied) || p.Refused != "" {
		t.Errorf("it had %q (%v), %d reads; refused %q", c.got, c.err, v.reads, p.Refused)
	}
	res := w.run(t.Context()) // which plans again first
	if res.Status != runbooks.RunVerified || c.got != "" || !fault.Is(c.err, fault.Denied) {
		t.Errorf("%s (%s): it had %q (%v)", res.Status, res.Why, c.got, c.err)
	}
}

// TestAStepHasNoSecretOfAnother: what stands not in the runbook was not approved.
func TestAStepHasNoSecretOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(tells, "EXIT", "0", 1))
	v := w.useSecrets(map[string]string{"db": hostile, "root": "value-of-another"})
	c := w.makeCurious(&curious{asksWhileActing: "root"})
	res := w.run(t.Context())
	if c.got != "" || !fault.Is(c.err, fault.Internal) || !strings.Contains(c.err.Error(), "step tell does not take the secret root") {
		t.Errorf("%s (%s): it had %q (%v), %d reads", res.Status, res.Why, c.got, c.err, v.reads)
	}
	c.asksWhileActing = "db"
	w.journal.records = nil
	if res = w.run(t.Context()); res.Status != runbooks.RunVerified || c.got != hostile || c.err != nil {
		t.Errorf("%s (%s): of its own it had %q (%v)", res.Status, res.Why, c.got, c.err)
	}
}

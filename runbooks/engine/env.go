package engine

import (
	"context"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// Env is what an action sees of the world: the step, the values that its
// templates read, and the server.
type Env struct {
	Runner       remote.Runner
	Step         runbooks.Step
	Inputs       map[string]any
	Vars         map[string]any // inputs, entity and target, for templates
	CleanupRoots []string
	Budgets      []entity.Budget // what the target's owner has promised in the inventory, and which files may go for it
	Now          func() time.Time
}

// Read runs a command that changes nothing, as the step's user.
func (e *Env) Read(ctx context.Context, argv ...string) (remote.Result, error) {
	return e.Runner.Run(ctx, remote.Command{Argv: argv, As: e.Step.As, Effect: remote.Read})
}

// Act runs the command of a step, as the step's user and within its time-out.
// In a step that only reads it starts nothing but runbooks.Readers: what a step
// calls itself makes no command harmless.
func (e *Env) Act(ctx context.Context, argv ...string) (remote.Result, error) {
	effect := remote.Write
	if e.Step.Effect == runbooks.Read {
		effect = remote.Read
	}
	if effect == remote.Read && !runbooks.OnlyReads(argv) {
		return remote.Result{}, &remote.Error{
			Class: remote.NotPermitted, Target: e.Runner.Target(), Doing: "act",
			Err: fault.New(fault.Denied, "step %s only reads, and %q may change something", e.Step.ID, argv),
		}
	}
	return e.Runner.Run(ctx, remote.Command{Argv: argv, As: e.Step.As, Effect: effect, Timeout: e.Step.Timeout})
}

// Unknown is a reading that cannot tell, and why.
func Unknown(why string) Reading { return Reading{Truth: expr.CannotTell, Text: why} }

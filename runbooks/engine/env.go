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
	ManagedFiles []string        // patterns (path.Match) of files that configuration management owns
	Budgets      []entity.Budget // what the target's owner has promised in the inventory, and which files may go for it
	Now          func() time.Time

	secrets Secrets // nil while planning

	scope *scope // of the step, for the words of the language
}

// Read runs a command that changes nothing, as the step's user.
func (e *Env) Read(ctx context.Context, argv ...string) (remote.Result, error) {
	return e.Runner.Run(ctx, remote.Command{Argv: argv, As: e.Step.As, Effect: remote.Read})
}

// Act runs the command of a step, as the step's user and within its time-out.
// In a step that only reads it starts nothing but runbooks.Readers: what a step
// calls itself makes no command harmless.
func (e *Env) Act(ctx context.Context, argv ...string) (remote.Result, error) {
	return e.ActWith(ctx, remote.Command{Argv: argv})
}

// ActWith is Act for a command that has more than words: standard input, an
// environment. User, effect and time-out are the step's, whatever cmd says.
func (e *Env) ActWith(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	cmd.As, cmd.Effect, cmd.Timeout = e.Step.As, remote.Write, e.Step.Timeout
	if e.Step.Effect == runbooks.Read {
		cmd.Effect = remote.Read
	}
	if cmd.Effect == remote.Read && !runbooks.OnlyReads(cmd.Argv) {
		return remote.Result{}, &remote.Error{
			Class: remote.NotPermitted, Target: e.Runner.Target(), Doing: "act",
			Err: fault.New(fault.Denied, "step %s only reads, and %q may change something", e.Step.ID, cmd.Argv),
		}
	}
	return e.Runner.Run(ctx, cmd)
}

// Unknown is a reading that cannot tell, and why.
func Unknown(why string) Reading { return Reading{Truth: expr.CannotTell, Text: why} }

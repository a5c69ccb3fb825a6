package cases

import (
	"context"

	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Rehearse makes the plan, and carries it out on the stage.
func (b *Bound) Rehearse(ctx context.Context, stage engine.Stage) (runbooks.Plan, runbooks.Rehearsal, error) {
	var err error
	var done runbooks.Rehearsal
	b.plan, done, err = engine.Rehearse(ctx, b.server, stage, b.binding, b.deps)
	return b.plan, done, err
}

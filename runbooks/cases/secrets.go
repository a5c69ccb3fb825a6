package cases

import (
	"context"
	"slices"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// standIns are the secrets of a recorded host: their names alone. A recording
// holds no more of them.
type standIns []string

// Has implements engine.Secrets.
func (s standIns) Has(_ context.Context, name string) error {
	if !slices.Contains(s, name) {
		return fault.New(fault.NotFound, "there was no secret %s when the host was recorded", name)
	}
	return nil
}

// Get implements engine.Secrets.
func (s standIns) Get(ctx context.Context, name string) (redact.Secret, error) {
	return redact.Secret("stand-in of " + name), s.Has(ctx, name)
}

// SecretsOf returns the names of those that the runbook, and those that it calls,
// refer to and that there are.
func SecretsOf(ctx context.Context, rb *runbooks.Runbook, secrets engine.Secrets) []string {
	var names []string
	for _, one := range append(rb.Called(), rb) {
		for _, s := range one.Steps {
			for _, name := range s.Secrets {
				if secrets != nil && secrets.Has(ctx, name) == nil {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

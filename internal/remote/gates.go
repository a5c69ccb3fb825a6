package remote

import (
	"context"

	"github.com/secondline-ops/secondline/internal/fault"
)

// ReadOnly refuses every command that may change something.
func ReadOnly() Gate { return readOnly{} }

type readOnly struct{}

func (readOnly) Allow(_ context.Context, target string, cmd Command) error {
	if cmd.Effect == Read {
		return nil
	}
	return fault.New(fault.Denied, "this session only reads, and %s may change %s", first(cmd.Argv), target)
}

// AllowAll lets everything pass. It is for tests and tools in which a person
// typed the command.
func AllowAll() Gate { return allowAll{} }

type allowAll struct{}

func (allowAll) Allow(context.Context, string, Command) error { return nil }

// Gates asks several gates; the first refusal stands.
func Gates(list ...Gate) Gate { return gates(list) }

type gates []Gate

func (g gates) Allow(ctx context.Context, target string, cmd Command) error {
	for _, gate := range g {
		if err := gate.Allow(ctx, target, cmd); err != nil {
			return err
		}
	}
	return nil
}

func first(argv []string) string {
	if len(argv) == 0 {
		return "an empty command"
	}
	return argv[0]
}

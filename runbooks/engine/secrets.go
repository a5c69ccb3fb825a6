package engine

import (
	"context"
	"slices"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// Learned returns the same secrets, each of which the redactor learns before it
// is given; nil for nil.
func Learned(s Secrets, redactor *redact.Growing) Secrets {
	if s == nil {
		return nil
	}
	return learned{s, redactor}
}

type learned struct {
	Secrets
	redactor *redact.Growing
}

// Get implements Secrets.
func (l learned) Get(ctx context.Context, name string) (redact.Secret, error) {
	value, err := l.Secrets.Get(ctx, name)
	if err == nil {
		l.redactor.Learn(value)
	}
	return value, err
}

// hasSecret says why a secret cannot be given; nil when it can.
func (d Deps) hasSecret(ctx context.Context, name string) error {
	if d.Secrets == nil {
		return fault.New(fault.NotFound, "there are no secrets here")
	}
	return d.Secrets.Has(ctx, name)
}

// Secret returns a secret that the step takes, to be given to a command in
// remote.Command.Secrets and to nothing else: whatever an action returns is
// written down. While planning there is none.
func (e *Env) Secret(ctx context.Context, name string) (redact.Secret, error) {
	switch {
	case !slices.Contains(e.Step.Secrets, name):
		return "", fault.New(fault.Internal, "step %s does not take the secret %s", e.Step.ID, name)
	case e.secrets == nil:
		return "", fault.New(fault.Denied, "there are no secrets here, and so not %s", name)
	}
	return e.secrets.Get(ctx, name)
}

// SecretVariable returns a secret that the step takes as the variable of a command.
func (e *Env) SecretVariable(ctx context.Context, variable, name string) (remote.Secret, error) {
	value, err := e.Secret(ctx, name)
	return remote.Secret{Name: runbooks.SecretPrefix + name, Env: variable, Value: value}, err
}

// learnSecrets reads all secrets of the run before its first step, so that they
// are redacted in all that is printed, and in a run that goes on after a crash
// also those of steps that have had theirs. One that cannot be read is the
// matter of the step that takes it.
func (x *run) learnSecrets(ctx context.Context) {
	for _, s := range x.steps {
		for _, name := range s.step.Secrets {
			if x.d.Secrets != nil && s.skip == "" {
				_, _ = x.d.Secrets.Get(ctx, name)
			}
		}
	}
}

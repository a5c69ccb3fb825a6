package host

import (
	"context"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/plugins"
)

// Local returns the probes of a plugin that is part of this program, as the rest
// of the program sees them, without a process of their own: to know what they
// declare, and to understand again what was read. Nothing stands between them
// and this process, so an agent reads with those of a Host instead.
func Local(info plugins.Info, probes []plugins.Probe) []diagnostics.Probe {
	out := make([]diagnostics.Probe, len(probes))
	for i, p := range probes {
		out[i] = local{info, p, plugins.NewChecker()}
	}
	return out
}

type local struct {
	info    plugins.Info
	probe   plugins.Probe
	checker *plugins.Checker
}

var _ diagnostics.Probe = local{}

// Spec implements diagnostics.Probe.
func (l local) Spec() diagnostics.Spec { return specOf(l.info.Name, l.probe.Spec()) }

// Read implements diagnostics.Probe. Its host is lent as to a process.
func (l local) Read(ctx context.Context, r remote.Runner, args diagnostics.Args) ([]diagnostics.Raw, error) {
	raws, err := l.probe.Read(ctx, lent{r, l.info}, plugins.Args(args))
	if err == nil {
		err = l.checker.Raws(raws)
	}
	return sealed(raws), err
}

// Parse implements diagnostics.Probe.
func (l local) Parse(raws []diagnostics.Raw, args diagnostics.Args) (diagnostics.Value, diagnostics.Status, error) {
	got, status, err := l.probe.Parse(sent(raws), plugins.Args(args))
	if err != nil {
		return nil, diagnostics.Status(status), err
	}
	value, err := plugins.Carried(got)
	if err == nil {
		err = l.checker.Answer(l.probe.Spec(), value, status)
	}
	if err != nil {
		return nil, diagnostics.Failed, err
	}
	return diagnostics.Value(value), diagnostics.Status(status), nil
}

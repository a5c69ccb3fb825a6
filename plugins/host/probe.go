package host

import (
	"context"
	"errors"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/plugins"
)

// minGrace is the least time that a probe has for coming back when its time is
// up, unless that were half of the time.
const minGrace = time.Second

// probe is a probe of a plugin as the rest of the agent sees it.
type probe struct {
	host *Host
	slot *slot
	spec plugins.Spec
}

var _ diagnostics.Probe = (*probe)(nil)

// PluginRef names the plugin that reads and parses, as "name@sha256". A
// collector notes it in Fact.Plugin.
func (p *probe) PluginRef() string { return p.slot.entry.Name + "@" + p.slot.entry.SHA256 }

// Spec implements diagnostics.Probe.
func (p *probe) Spec() diagnostics.Spec {
	return specOf(p.slot.entry.Name, p.spec)
}

func specOf(plugin string, s plugins.Spec) diagnostics.Spec {
	return diagnostics.Spec{
		Name: plugin + "." + s.Name, Title: s.Title, Doc: s.Doc, CostSeconds: s.CostSeconds,
		Inputs: fields(s.Inputs), Outputs: fields(s.Outputs),
	}
}

// Read implements diagnostics.Probe. Sizes and digests are ours: a plugin
// cannot vouch for its own bytes.
func (p *probe) Read(ctx context.Context, r remote.Runner, args diagnostics.Args) (raws []diagnostics.Raw, err error) {
	if !p.slot.entry.mayReach(r.Target()) {
		return nil, fault.New(fault.Denied, "plugin %s may not be lent %s", p.slot.entry.Name, r.Target()).WithHint("hosts of the plugin: %q", p.slot.entry.Targets)
	}
	err = p.host.call(ctx, p.slot, func(ctx context.Context, proc *process) error {
		got, err := proc.client.Read(ctx, plugins.Call{
			Probe: p.spec.Name, Args: plugins.Args(args), Host: lent{r, proc.info}, Timeout: probeTimeout(ctx, p.host.opts.CallTimeout),
		})
		if err != nil {
			return p.authorError(err)
		}
		if err := p.host.checker.Raws(got); err != nil {
			return fault.Wrap(fault.Internal, err, "plugin %s answered nonsense", p.slot.entry.Name)
		}
		raws = sealed(got)
		return nil
	})
	return raws, err
}

// sealed are the raws with sizes and digests of our own.
func sealed(got []plugins.Raw) []diagnostics.Raw {
	var raws []diagnostics.Raw
	for _, g := range got {
		raw := diagnostics.Raw{
			Name: g.Name, Command: g.Command, Status: diagnostics.Status(g.Status), ExitCode: g.ExitCode, Error: g.Error,
			Data: g.Data, Truncated: g.Truncated, At: g.At, Took: g.Took,
		}
		raw.Seal()
		raws = append(raws, raw)
	}
	return raws
}

func sent(raws []diagnostics.Raw) []plugins.Raw {
	out := make([]plugins.Raw, len(raws))
	for i, r := range raws {
		out[i] = plugins.Raw{
			Name: r.Name, Command: r.Command, Status: plugins.Status(r.Status), ExitCode: r.ExitCode, Error: r.Error,
			Data: r.Data, Truncated: r.Truncated, At: r.At, Took: r.Took,
		}
	}
	return out
}

// Parse implements diagnostics.Probe. It may have to start the plugin again,
// and fails when that cannot be done.
func (p *probe) Parse(raws []diagnostics.Raw, args diagnostics.Args) (diagnostics.Value, diagnostics.Status, error) {
	var value plugins.Value
	status := plugins.Failed
	err := p.host.call(context.Background(), p.slot, func(ctx context.Context, proc *process) error {
		v, st, err := proc.client.Parse(ctx, p.spec.Name, sent(raws), plugins.Args(args))
		if err != nil {
			return p.authorError(err)
		}
		if err := p.host.checker.Answer(p.spec, v, st); err != nil {
			return fault.Wrap(fault.Internal, err, "plugin %s answered nonsense", p.slot.entry.Name)
		}
		value, status = v, st
		return nil
	})
	if err != nil {
		return nil, diagnostics.Failed, err
	}
	return diagnostics.Value(value), diagnostics.Status(status), nil
}

// authorError gives an error of the plugin's own code its place; errors of the
// process and the wire pass, for the pool to judge.
func (p *probe) authorError(err error) error {
	e, ok := errors.AsType[*plugins.ProbeError](err)
	if !ok {
		return err
	}
	kind := fault.Internal
	if e.TimedOut {
		kind = fault.Timeout
	}
	return fault.New(kind, "probe %s.%s: %s", p.slot.entry.Name, p.spec.Name, e.Message)
}

// probeTimeout is what a probe is told: somewhat less than what it gets, so that
// one which keeps its time can be told from one which has to be killed.
func probeTimeout(ctx context.Context, limit time.Duration) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		limit = time.Until(end)
	}
	return limit - min(max(limit/10, minGrace), limit/2)
}

func fields(in []plugins.Field) []expr.Field {
	out := make([]expr.Field, len(in))
	for i, f := range in {
		out[i] = expr.Field{
			Name: f.Name, Type: expr.Type(f.Type), Doc: f.Doc,
			Required: f.Required, Optional: f.Optional, Elem: fields(f.Elem),
		}
	}
	return out
}

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/bundle"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/cases"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

type replayOptions struct {
	runbook, cause, target string
	inputs, dirs           []string
}

func bundleReplay(env *environment) *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use: "replay FILE --runbook NAME|FILE", Short: "Say what a runbook would have done, by the readings in a bundle", Args: exactly(1),
		Long: `Plans the runbook against what was read when the diagnosis in the bundle was made, and against no host: its preconditions are
asked of the recorded readings, and so are the steps as far as they read what was read. What nobody read cannot be told, and
refuses, as it would on a host. Nothing is run.

The hypothesis is the best one that the runbook cures; --cause names another. Exit codes: 0 it would have been started, or
proposed; 4 it would have been refused, and why; 2 the bundle or the runbook cannot be read.`,
		Example: `  secondline bundle replay incident-12.tar.gz --runbook free-space-by-rotation
  secondline bundle replay incident-12.tar.gz --runbook my-runbooks/rotate.yaml --input mount=/var`,
	}
	out := addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&o.runbook, "runbook", "", "name of a runbook, or file of one")
	f.StringVar(&o.cause, "cause", "", "the cause that it is to cure, when not the best of those that it names")
	f.StringVar(&o.target, "on", "", "the host, when not that of the diagnosis")
	f.StringArrayVar(&o.inputs, "input", nil, "name=value of an input of the runbook; may be given several times")
	f.StringSliceVar(&o.dirs, "dir", nil, "folder with runbooks of your own, for NAME")
	_ = cmd.MarkFlagRequired("runbook")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := bundleFrom(env, args[0])
		if err != nil {
			return err
		}
		r, err := replayRunbook(cmd.Context(), env, b, o)
		if err != nil {
			return err
		}
		if err := out.write(env.stdout, r, func(w io.Writer) { r.show(w, env.paints(w)) }); err != nil {
			return err
		}
		if r.Plan.Refused != "" {
			return exitCode(fault.ExitRefused)
		}
		return nil
	}
	return cmd
}

// replayed is the answer of the command.
type replayed struct {
	Runbook    string        `json:"runbook"`
	Hypothesis string        `json:"hypothesis"` // "" when it names none of those in the bundle
	Band       string        `json:"band"`
	Would      string        `json:"would"`     // in a sentence
	Plan       runbooks.Plan `json:"plan"`      // without steps when Unplanned says why
	Unplanned  string        `json:"unplanned"` // why the steps cannot be told from what was read
	Then       []string      `json:"then"`      // what really ran
	Unread     []string      `json:"unread"`    // what it asks that nobody had read
}

func replayRunbook(ctx context.Context, env *environment, b *bundle.Bundle, o replayOptions) (replayed, error) {
	bench, err := newTestBench(ctx, env, bundledPlugins(), o.dirs)
	if err != nil {
		return replayed{}, err
	}
	defer bench.close()
	rb, err := bench.find(o.runbook)
	if err != nil {
		return replayed{}, err
	}
	probes, err := builtinProbes()
	if err != nil {
		return replayed{}, err
	}
	known, err := bundle.Records(b, probes)
	if err != nil {
		return replayed{}, err
	}
	r := replayed{Runbook: rb.Name + " " + rb.Digest, Then: ranThen(known), Unread: []string{}}
	given := cases.Given{Runbook: rb.Name}
	if given.Inputs, err = pairs("input", o.inputs); err != nil {
		return r, err
	}
	h := hypothesisFor(known, rb, o.cause)
	about := known.Subject.Entity
	if h != nil {
		r.Hypothesis, r.Band = h.Cause+" on "+h.Entity, string(h.Band)
		given.Hypothesis = &cases.Hypothesis{Cause: h.Cause, Band: string(h.Band), Object: h.Object, Evidence: truthsOf(*h)}
		about = entityIn(known, h.Entity)
	}
	if o.target != "" {
		about = entityIn(known, o.target)
	}
	given.Target = cases.HostOf(about)
	host := &recordedHost{target: about.ID, facts: known.Facts, at: known.Incident.DiagnosedAt}
	tools := bench.tools
	tools.Probes = func(func() time.Time) (engine.ProbeReader, error) { return host, nil }
	if err := r.plan(ctx, &given, rb, host, tools); err != nil {
		return r, err
	}
	slices.Sort(host.missing)
	r.Unread = append(r.Unread, slices.Compact(host.missing)...)
	r.Would = r.sentence()
	return r, nil
}

// plan makes the plan; where a step needs what nobody read, that of the
// preconditions alone.
func (r *replayed) plan(ctx context.Context, given *cases.Given, rb *runbooks.Runbook, host *recordedHost, tools cases.Tools) error {
	bound, err := cases.Bind(given, rb, host, tools)
	if err != nil {
		return err
	}
	if r.Plan, err = bound.Plan(ctx); err == nil {
		return nil
	}
	r.Unplanned = problemText(err)
	asks := *rb
	asks.Flow, asks.OnFailure, asks.Always = nil, nil, nil
	if bound, err = cases.Bind(given, &asks, host, tools); err != nil {
		return err
	}
	if r.Plan, err = bound.Plan(ctx); err != nil {
		return fmt.Errorf("plan %s: %w", rb.Name, err)
	}
	return nil
}

func (r *replayed) sentence() string {
	switch {
	case r.Plan.Refused != "":
		return "It would have been refused: " + r.Plan.Refused
	case r.Hypothesis == "":
		return "Its preconditions hold, but it cures nothing that the diagnosis found: only a person could have started it."
	case r.Band == string(diagnostics.Confirmed) && r.Plan.Effect != runbooks.Irreversible && r.Plan.Autonomy == runbooks.Auto:
		return "Its preconditions hold: it would have been started, by itself where the policy lets it, else after a yes."
	case r.Band == string(diagnostics.Confirmed), r.Band == string(diagnostics.Likely):
		return "Its preconditions hold: it would have been proposed, and started after a person's yes."
	}
	return "Its preconditions hold, but the cause was only " + r.Band + ": the machine acts on nothing below likely."
}

func (r *replayed) show(w io.Writer, p paint) {
	fmt.Fprintln(w, p.as(bold, oneLine(r.Would)))
	if r.Hypothesis != "" {
		say(w, "  for %s (%s)", r.Hypothesis, r.Band)
	}
	for _, text := range r.Then {
		say(w, "  then: %s", text)
	}
	for _, text := range r.Unread {
		say(w, "  nobody had read: %s", text)
	}
	if r.Unplanned != "" {
		say(w, "  its steps cannot be told from what was read: %s", r.Unplanned)
	}
	fmt.Fprintln(w)
	showPlanText(w, p, r.Plan)
}

// hypothesisFor is the best hypothesis that the runbook cures, by what either of
// them says, or the one of the cause.
func hypothesisFor(known bundle.Recorded, rb *runbooks.Runbook, cause string) *diagnostics.Hypothesis {
	if known.Incident.Diagnosis == nil {
		return nil
	}
	for i, h := range known.Incident.Diagnosis.Hypotheses {
		cures := slices.Contains(rb.Cures, h.Cause) || slices.Contains(h.Cures, rb.Name)
		if cause != "" {
			cures = h.Cause == cause
		}
		if cures {
			return &known.Incident.Diagnosis.Hypotheses[i]
		}
	}
	return nil
}

func truthsOf(h diagnostics.Hypothesis) map[string]string {
	truths := map[string]string{}
	for _, e := range slices.Concat(h.For, h.Against, h.CannotTell) {
		truths[e.ID] = string(e.Truth)
	}
	return truths
}

func entityIn(known bundle.Recorded, id string) entity.Entity {
	if known.Subject.Entity.ID == id {
		return known.Subject.Entity
	}
	if i := slices.IndexFunc(known.Entities, func(e entity.Entity) bool { return e.ID == id }); i >= 0 {
		return known.Entities[i]
	}
	return entity.Entity{ID: id, Kind: entity.Host}
}

func ranThen(known bundle.Recorded) []string {
	list := []string{}
	for i := range known.Incident.Runs {
		run := &known.Incident.Runs[i]
		text := fmt.Sprintf("%s on %s: %s", run.Runbook, run.Target, run.Status)
		if run.Result != nil && run.Result.Why != "" {
			text += ", " + run.Result.Why
		}
		list = append(list, text)
	}
	return list
}

// recordedHost answers from the readings of a bundle, and reaches nothing. It is
// for one plan, which asks one thing after the other.
type recordedHost struct {
	target  string
	facts   []diagnostics.Fact
	at      time.Time
	missing []string // what was asked and had not been read
}

var (
	_ cases.Server       = (*recordedHost)(nil)
	_ engine.ProbeReader = (*recordedHost)(nil)
)

// Read implements engine.ProbeReader: the newest reading of that probe with those
// arguments.
func (h *recordedHost) Read(_ context.Context, _ remote.Runner, probe string, args map[string]string) (map[string]any, error) {
	for _, f := range slices.Backward(h.facts) {
		if f.Probe != probe || f.Target != h.target || !maps.Equal(f.Args, diagnostics.Args(args)) {
			continue
		}
		if !f.Status.Tells() {
			return nil, fault.New(fault.Transient, "probe %s: %s %s", probe, f.Status, f.Error)
		}
		return f.Value, nil
	}
	words := []string{probe}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		words = append(words, fmt.Sprintf("%s=%q", name, args[name]))
	}
	return nil, h.unread("reading", strings.Join(words, " "))
}

func (h *recordedHost) unread(kind, what string) error {
	h.missing = append(h.missing, kind+" "+what)
	return fault.New(fault.NotFound, "the bundle holds no %s %s of %s", kind, what, h.target)
}

func (h *recordedHost) refuse(kind, what string) error {
	return &remote.Error{Class: remote.Unreachable, Target: h.target, Doing: kind, Err: h.unread(kind, what)}
}

// Target implements remote.Runner.
func (h *recordedHost) Target() string { return h.target }

// Run implements remote.Runner: a command that a probe ran, word for word.
func (h *recordedHost) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	words := remote.Quote(cmd.Argv)
	for _, f := range slices.Backward(h.facts) {
		for _, raw := range f.Raws {
			if f.Target == h.target && raw.Command == words && cmd.Effect == remote.Read && raw.Status == diagnostics.OK {
				return remote.Result{Stdout: raw.Data, ExitCode: raw.ExitCode, Truncated: raw.Truncated, StartedAt: raw.At, Took: raw.Took}, nil
			}
		}
	}
	return remote.Result{}, h.refuse("output of", words)
}

// ReadFile implements remote.Runner.
func (h *recordedHost) ReadFile(_ context.Context, path string, _ int) (data []byte, truncated bool, err error) {
	return nil, false, h.refuse("file", path)
}

// Stat implements remote.Runner.
func (h *recordedHost) Stat(_ context.Context, path string) (remote.FileInfo, error) {
	return remote.FileInfo{}, h.refuse("state of the file", path)
}

// Statfs implements remote.Runner.
func (h *recordedHost) Statfs(_ context.Context, path string) (remote.FSInfo, error) {
	return remote.FSInfo{}, h.refuse("file system of", path)
}

// ReadDir implements remote.Runner.
func (h *recordedHost) ReadDir(_ context.Context, path string, _ int) (entries []remote.FileInfo, truncated bool, err error) {
	return nil, false, h.refuse("folder", strings.TrimSuffix(path, "/"))
}

// Now implements cases.Server.
func (h *recordedHost) Now() time.Time { return h.at }

// Sleep implements cases.Server: no time passes in a record.
func (h *recordedHost) Sleep(ctx context.Context, _ time.Duration) bool { return ctx.Err() == nil }

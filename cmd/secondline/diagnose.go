package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
)

func diagnoseCommand(env *environment) *cobra.Command {
	var o diagnoseOptions
	cmd := &cobra.Command{
		Use:   "diagnose [USER@]HOST",
		Short: "Find out what is wrong with a server: read-only, over SSH, without a controller",
		Long: `Reads what the causes in the catalogue need to be told apart, and ranks them with the evidence for and against each. It only
reads: commands that could change something are refused on this side. Host keys are checked as ssh does. "localhost", or
--local, looks at this machine.

Exit code 0 when it was done, whatever was found; 4 when the host key or the login was refused; 6 when the host is unreachable.`,
		Example: `  secondline diagnose ops@db1
  secondline diagnose db1 --alert HostOutOfDiskSpace --hint mount=/var
  secondline diagnose --local -o json
  secondline diagnose db1 --inventory inventory.yaml --bundle db1.tar.gz`,
		Args: atMostOne(),
	}
	out := addOutput(cmd)
	o.reach.addFlags(env, cmd)
	f := cmd.Flags()
	f.StringVar(&o.inventory, "inventory", "", "inventory file that says what the host promised: budgets, processes, address")
	f.StringVar(&o.alert, "alert", "", "name of the alert; causes that explain it are looked at first")
	f.StringArrayVar(&o.hints, "hint", nil, "name=value of what is known: mount, unit, url …; may be given several times")
	f.StringSliceVar(&o.causes, "causes", nil, "folder with causes of your own; may be given several times")
	f.StringVar(&o.bundle, "bundle", "", "also write everything into this file, as a bundle that can be verified")
	f.DurationVar(&o.within, "within", diagnostics.DefaultBudget, "how long to look at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			o.reach.target = args[0]
		}
		return diagnose(cmd.Context(), env, out, o)
	}
	return cmd
}

type diagnoseOptions struct {
	reach                    reachOptions
	inventory, alert, bundle string
	hints, causes            []string
	within                   time.Duration
}

// diagnosed is the answer of the command.
type diagnosed struct {
	Target      string                   `json:"target"`
	At          time.Time                `json:"at"`
	TookSeconds float64                  `json:"took_seconds"`
	Unknown     bool                     `json:"unknown"`
	Why         string                   `json:"why"`
	Warnings    []string                 `json:"warnings"` // what was asked about and is not known
	Hypotheses  []diagnostics.Hypothesis `json:"hypotheses"`
	NotLookedAt []string                 `json:"not_looked_at"`
	Facts       []diagnostics.Fact       `json:"facts"`
}

func diagnose(ctx context.Context, env *environment, out *format, o diagnoseOptions) error {
	subject, err := o.subject()
	if err != nil {
		return err
	}
	probes, end, err := allProbes(ctx, bundledPlugins(), env.unusable)
	if err != nil {
		return err
	}
	defer func() { _ = end() }() // they only read
	catalogue, err := localCatalogue(o.causes, nil, probes)
	if err != nil {
		return err
	}
	server, done, err := o.reach.open(ctx, env, subject.Entity)
	if err != nil {
		return err
	}
	defer done()
	if subject.Entity.ID == "" {
		subject.Entity.ID = server.Target()
	}
	progress := newProgress(env)
	collector := &diagnostics.Collector{Probes: probes, Now: time.Now, Budget: o.within, OnProbe: progress.show}
	started := time.Now()
	facts, err := collector.Collect(ctx, server, catalogue.Causes.All(), subject)
	progress.clear()
	if err != nil {
		return fmt.Errorf("diagnose %s: %w", subject.Entity.ID, err)
	}
	if err := answered(facts); err != nil {
		return err
	}
	diagnosis := diagnostics.Rank(catalogue.Causes, facts, subject)
	found := diagnosed{
		Target: subject.Entity.ID, At: started.UTC(), TookSeconds: time.Since(started).Seconds(),
		Unknown: diagnosis.Unknown, Why: diagnosis.Why, Hypotheses: diagnosis.Hypotheses, NotLookedAt: diagnosis.NotLookedAt, Facts: facts,
		Warnings: unknownHints(catalogue.Causes.All(), facts, subject.Hints),
	}
	if o.bundle != "" {
		about := looked{subject: subject, facts: facts, diagnosis: diagnosis, catalogue: catalogue, at: started}
		if err := about.writeBundle(ctx, o.bundle); err != nil {
			return err
		}
	}
	return out.write(env.stdout, found.withoutData(), func(w io.Writer) { showDiagnosis(w, env.paints(w), found, o.bundle) })
}

// subject is what the diagnosis is about, as far as it is known before the host
// was reached.
func (o *diagnoseOptions) subject() (diagnostics.Subject, error) {
	hints, err := pairs("hint", o.hints)
	if err != nil {
		return diagnostics.Subject{}, err
	}
	if o.alert != "" {
		hints["alertname"] = o.alert
	}
	if err := o.reach.complete(); err != nil {
		return diagnostics.Subject{}, err
	}
	host, err := inventoryHost(o.inventory, o.reach.name())
	return diagnostics.Subject{Entity: host, Hints: hints}, err
}

// inventoryHost is what the inventory file says of the host; without a file,
// nothing but its name is known.
func inventoryHost(file, name string) (entity.Entity, error) {
	if file == "" {
		return entity.Entity{ID: name, Kind: entity.Host}, nil
	}
	inv, err := controllerConfig{Inventory: file}.inventory()
	if err != nil {
		return entity.Entity{}, err
	}
	host, ok := inv.Host(name)
	if !ok {
		return host, fault.New(fault.NotFound, "there is no host %q in %s", name, file).
			WithHint("call it by its id there; --host-name gives the address apart from the id")
	}
	return host, nil
}

// unknownHints says which hints name what nobody knows: they are typed by hand,
// and a mistake in one must not pass for "nothing wrong there".
func unknownHints(causes []*diagnostics.Cause, facts []diagnostics.Fact, hints map[string]string) []string {
	warnings := []string{}
	if alert := hints["alertname"]; alert != "" {
		known := func(c *diagnostics.Cause) bool { return slices.Contains(c.Symptoms.Alerts, alert) }
		if !slices.ContainsFunc(causes, known) {
			warnings = append(warnings, fmt.Sprintf("no cause explains an alert %q; the causes name theirs: secondline cause list", alert))
		}
	}
	mount := hints["mount"]
	if mount == "" {
		return warnings
	}
	for _, f := range facts {
		if f.Probe == "disk.filesystems" && f.Status == diagnostics.OK && !mounted(f, mount) {
			warnings = append(warnings, fmt.Sprintf("no file system is mounted at %q", mount))
		}
	}
	return warnings
}

// mounted reports whether the list of file systems has the mount.
func mounted(f diagnostics.Fact, mount string) bool {
	list, _ := f.Value["filesystems"].([]any)
	return slices.ContainsFunc(list, func(item any) bool {
		fs, _ := item.(map[string]any)
		return fs["mount"] == mount
	})
}

// answered refuses to call it a diagnosis when the host has answered nothing.
func answered(facts []diagnostics.Fact) error {
	for _, f := range facts {
		if f.Status.Tells() || f.Status == diagnostics.Truncated || f.Status == diagnostics.Denied {
			return nil
		}
	}
	for _, f := range facts {
		if f.Error != "" {
			return fault.New(fault.Unreachable, "nothing could be read: %s", f.Error)
		}
	}
	return fault.New(fault.Unreachable, "nothing could be read")
}

// withoutData leaves out the bytes that were read: their digests stay, and a
// bundle has them.
func (d diagnosed) withoutData() diagnosed {
	facts := make([]diagnostics.Fact, len(d.Facts))
	for i, f := range d.Facts {
		raws := make([]diagnostics.Raw, len(f.Raws))
		for k, raw := range f.Raws {
			raw.Data = nil
			raws[k] = raw
		}
		f.Raws = raws
		facts[i] = f
	}
	d.Facts = facts
	return d
}

func showDiagnosis(w io.Writer, p paint, d diagnosed, bundle string) {
	list := make([]api.Hypothesis, 0, len(d.Hypotheses))
	for _, h := range d.Hypotheses {
		list = append(list, api.Hypothesis{
			Cause: h.Cause, Title: h.Title, Entity: h.Entity, Object: h.Object, Probability: h.Probability, Band: string(h.Band),
			For: h.For, Against: h.Against, CannotTell: h.CannotTell, Cures: h.Cures,
		})
	}
	fmt.Fprintln(w, p.as(bold, oneLine(fmt.Sprintf("%s: %s", d.Target, d.Why))))
	for _, warning := range d.Warnings {
		say(w, "  warning: %s", warning)
	}
	showHypotheses(w, p, list, d.NotLookedAt, maxShownHypotheses)
	say(w, "")
	say(w, "%d facts read in %.1f s; nothing was changed", len(d.Facts), d.TookSeconds)
	if bundle != "" {
		say(w, "bundle: %s (secondline bundle show %s)", bundle, bundle)
	}
}

// progress shows on a terminal what is being read right now.
type progress struct {
	w  io.Writer
	on bool
	n  int
}

func newProgress(env *environment) *progress {
	return &progress{w: env.stderr, on: terminal(env.stderr)}
}

// maxProgress keeps the line from wrapping, which could not be undone.
const maxProgress = 70

func (p *progress) show(probe, target string) {
	p.n++
	if p.on {
		line := []rune(oneLine(fmt.Sprintf("%d: reading %s on %s", p.n, probe, target)))
		fmt.Fprintf(p.w, "\r\x1b[K%s", string(line[:min(len(line), maxProgress)]))
	}
}

func (p *progress) clear() {
	if p.on {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/linux"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

func probeCommand(env *environment) *cobra.Command {
	return group(&cobra.Command{
		Use: "probe", Short: "See the probes, and read one by hand",
		Long: `A probe is a read-only reader that yields a fact. These are the built-in ones and those of the bundled plugins; no
controller is needed.`,
	}, probeList(env), probeShow(env), probeRun(env))
}

// probeInfo is a probe as people and programs see it.
type probeInfo struct {
	Name        string       `json:"name"`
	Title       string       `json:"title"`
	Doc         string       `json:"doc"`
	CostSeconds float64      `json:"cost_seconds"`
	Inputs      []expr.Field `json:"inputs"`
	Outputs     []expr.Field `json:"outputs"`
}

func describeProbe(p diagnostics.Probe) probeInfo {
	s := p.Spec()
	return probeInfo{s.Name, s.Title, s.Doc, s.CostSeconds, append([]expr.Field{}, s.Inputs...), append([]expr.Field{}, s.Outputs...)}
}

// withProbes runs do with all probes, and ends the plugins afterwards.
func withProbes(ctx context.Context, env *environment, do func(*diagnostics.ProbeSet) error) error {
	probes, done, err := allProbes(ctx, bundledPlugins(), env.unusable)
	if err != nil {
		return err
	}
	defer func() { _ = done() }() // they only read
	return do(probes)
}

func completeProbes(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var words []string
	if len(args) == 0 {
		for _, p := range linux.Probes(time.Now) { // those of plugins would take a process
			words = append(words, p.Spec().Name+"\t"+p.Spec().Title)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func probeList(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all probes", Args: exactly(0), Example: `  secondline probe list`}
	out := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withProbes(cmd.Context(), env, func(set *diagnostics.ProbeSet) error {
			list := []probeInfo{}
			rows := [][]string{{"PROBE", "COST", "TITLE"}}
			for _, p := range set.All() {
				info := describeProbe(p)
				list = append(list, info)
				rows = append(rows, []string{info.Name, fmt.Sprintf("%.1f s", info.CostSeconds), info.Title})
			}
			return out.write(env.stdout, list, func(w io.Writer) { columns(w, rows) })
		})
	}
	return cmd
}

func probeShow(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a probe: what it looks at, what it takes, what it yields", Args: exactly(1),
		Example: `  secondline probe show disk.usage`, ValidArgsFunction: completeProbes,
	}
	out := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withProbes(cmd.Context(), env, func(set *diagnostics.ProbeSet) error {
			p, err := set.Find(args[0])
			if err != nil {
				return err
			}
			info := describeProbe(p)
			return out.write(env.stdout, info, func(w io.Writer) {
				say(w, "%s: %s", info.Name, info.Title)
				say(w, "  %s", info.Doc)
				say(w, "inputs")
				showFields(w, info.Inputs, "  ")
				say(w, "outputs")
				showFields(w, info.Outputs, "  ")
			})
		})
	}
	return cmd
}

func showFields(w io.Writer, fields []expr.Field, indent string) {
	if len(fields) == 0 {
		say(w, "%snone", indent)
	}
	for _, f := range fields {
		need := ""
		if f.Required {
			need = ", required"
		}
		say(w, "%s%s (%s%s)  %s", indent, f.Name, f.Type, need, f.Doc)
		if len(f.Elem) > 0 {
			showFields(w, f.Elem, indent+"  ")
		}
	}
}

func probeRun(env *environment) *cobra.Command {
	var on string
	var raw bool
	var reach reachOptions
	cmd := &cobra.Command{
		Use: "run NAME [INPUT=VALUE]…", Short: "Read a probe now, here or over SSH; it cannot change anything", Args: atLeastOne(),
		Long: `Exit code 0 when the reading tells something ("absent" does), 1 when it cannot tell, 4 when it was denied, 6 when the
host is unreachable.`,
		Example: `  secondline probe run disk.usage mount=/var
  secondline probe run unit.status unit=nginx.service --on ops@web1
  secondline probe run tls.certificate address=www.example.org:443 -o json`,
		ValidArgsFunction: completeProbes,
	}
	out := addOutput(cmd)
	reach.addFlags(env, cmd)
	cmd.Flags().StringVar(&on, "on", "", "[user@]host to read on, by SSH; this machine when not given")
	cmd.Flags().BoolVar(&raw, "raw", false, "also what was read, before it was understood")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given, err := pairs("input", args[1:])
		if err != nil {
			return err
		}
		if reach.target = on; on == "" {
			reach.local = true
		}
		if err := reach.complete(); err != nil {
			return err
		}
		return withProbes(cmd.Context(), env, func(set *diagnostics.ProbeSet) error {
			p, err := set.Find(args[0])
			if err != nil {
				return err
			}
			if err := checkInputs(p.Spec(), given); err != nil {
				return err
			}
			return readByHand(cmd.Context(), env, out, handRead{set: set, name: args[0], args: given, reach: reach, raw: raw})
		})
	}
	return cmd
}

// checkInputs names inputs that the probe does not have or does not get.
func checkInputs(spec diagnostics.Spec, given map[string]string) error {
	known := map[string]bool{}
	var names []string
	for _, in := range spec.Inputs {
		known[in.Name] = true
		names = append(names, in.Name)
		if _, ok := given[in.Name]; in.Required && !ok {
			return usageError{fault.New(fault.Invalid, "probe %s needs %s=…", spec.Name, in.Name).WithHint("secondline probe show %s", spec.Name)}
		}
	}
	for name := range given {
		if !known[name] {
			return usageError{fault.New(fault.Invalid, "probe %s has no input %q", spec.Name, name).
				WithHint("it has: %s", orDash(strings.Join(names, ", ")))}
		}
	}
	return nil
}

// handRead is one reading that a person asks for.
type handRead struct {
	set   *diagnostics.ProbeSet
	name  string
	args  map[string]string
	reach reachOptions
	raw   bool
}

func readByHand(ctx context.Context, env *environment, out *format, h handRead) error {
	server, done, err := h.reach.open(ctx, env, entity.Entity{ID: h.reach.name()})
	if err != nil {
		return err
	}
	defer done()
	c := diagnostics.Collector{Probes: h.set, Now: time.Now}
	fact, err := c.Read(ctx, server, h.name, h.args)
	if err != nil {
		return err
	}
	shown := fact
	if !h.raw {
		shown = diagnosed{Facts: []diagnostics.Fact{fact}}.withoutData().Facts[0]
	}
	if err := out.write(env.stdout, shown, func(w io.Writer) { showFact(w, fact, h.raw) }); err != nil {
		return err
	}
	if !fact.Status.Tells() {
		if fact.Status == diagnostics.Denied {
			return exitCode(fault.ExitRefused)
		}
		return exitCode(fault.ExitFailed)
	}
	return nil
}

func showFact(w io.Writer, f diagnostics.Fact, raw bool) {
	say(w, "%s on %s: %s, took %s", f.Probe, f.Target, f.Status, f.Took.Round(time.Millisecond))
	if f.Error != "" {
		say(w, "  %s", f.Error)
	}
	if len(f.Value) > 0 {
		text, err := json.MarshalIndent(f.Value, "  ", "  ")
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Fprintf(w, "  %s\n", clean(string(text)))
	}
	if !raw {
		return
	}
	for _, r := range f.Raws {
		say(w, "%s: %s  (%s, exit %d, %d bytes, sha256 %s)", r.Name, r.Command, r.Status, r.ExitCode, r.Bytes, r.SHA256)
		for line := range strings.Lines(string(r.Data)) {
			say(w, "  | %s", strings.TrimSuffix(line, "\n"))
		}
	}
}

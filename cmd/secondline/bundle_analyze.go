package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/bundle"
)

func bundleAnalyze(env *environment) *cobra.Command {
	var causes []string
	cmd := &cobra.Command{
		Use: "analyze FILE", Short: "Rank the causes again, with the causes and probes of today", Args: exactly(1),
		Long: `Understands the raw bytes in the bundle again, ranks with the causes that this binary ships and those of --causes, and says
what changed against the diagnosis in the bundle. What a newer cause asks that nobody read then cannot be told. It does not
check who made the bundle: that is "bundle verify".

Exit code 0 when it was done, whatever has changed; 2 when the bundle cannot be read.`,
		Example: `  secondline bundle analyze incident-12.tar.gz
  secondline bundle analyze incident-12.tar.gz --causes my-causes -o json`,
	}
	out := addOutput(cmd)
	cmd.Flags().StringSliceVar(&causes, "causes", nil, "folder with causes of your own; may be given several times")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		b, err := bundleFrom(env, args[0])
		if err != nil {
			return err
		}
		probes, err := builtinProbes()
		if err != nil {
			return err
		}
		catalogue, err := localCatalogue(causes, nil, probes)
		if err != nil {
			return err
		}
		a, err := bundle.Analyze(b, catalogue.Causes, probes)
		if err != nil {
			return err
		}
		return out.write(env.stdout, a, func(w io.Writer) { showAnalysis(w, env.paints(w), a) })
	}
	return cmd
}

func showAnalysis(w io.Writer, p paint, a bundle.Analysis) {
	fmt.Fprintln(w, p.as(bold, oneLine(a.Diagnosis.Why)))
	const most = 5
	for i, h := range a.Diagnosis.Hypotheses {
		if i == most {
			say(w, "  and %d more", len(a.Diagnosis.Hypotheses)-most)
			break
		}
		say(w, "  %s %s on %s, %.0f %%", h.Band, h.Cause, h.Entity, 100*h.Probability)
	}
	showChanges(w, fmt.Sprintf("against what version %s said", a.WrittenBy), a.Changes)
	for _, text := range a.Unread {
		say(w, "  could not be understood again: %s", text)
	}
}

func showChanges(w io.Writer, what string, changes []bundle.Change) {
	if len(changes) == 0 {
		say(w, "nothing differs %s", what)
		return
	}
	say(w, "%d differences %s:", len(changes), what)
	for _, c := range changes {
		say(w, "  %s", c)
	}
}

func bundleDiff(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff A B", Short: "Say what differs between two bundles", Args: exactly(2),
		Long: `Compares the incidents, the diagnoses with each piece of evidence, the newest reading of each kind field by field, and the
runs. Times are not compared. Two bundles of one incident show what has changed; one of a host that is well beside one of a
host that is not shows what is odd.

Exit code 0 when it was done, whatever differs; 2 when one cannot be read.`,
		Example: `  secondline bundle diff incident-12.tar.gz incident-12-later.tar.gz`,
	}
	out := addOutput(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		a, err := bundleFrom(env, args[0])
		if err != nil {
			return err
		}
		b, err := bundleFrom(env, args[1])
		if err != nil {
			return err
		}
		changes, err := bundle.Diff(a, b)
		if err != nil {
			return err
		}
		return out.write(env.stdout, map[string]any{"changes": changes}, func(w io.Writer) {
			showChanges(w, "between "+args[0]+" and "+args[1], changes)
		})
	}
	return cmd
}

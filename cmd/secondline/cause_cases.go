package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/cases"
	"github.com/secondline-ops/secondline/internal/fault"
)

// causeTried is one case with what was wrong.
type causeTried struct {
	Case     string   `json:"case"`
	Cause    string   `json:"cause"` // that must be found; "" for none
	Problems []string `json:"problems"`
}

type causesTried struct {
	Cases []causeTried `json:"cases"`
}

func causeTest(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "test FOLDER…", Short: "Try causes against recorded facts; a wrong cause fails as a missed one does", Args: atLeastOne(),
		Long: `Ranks the causes of the folders, with those that are shipped, on the cases below them: files *.json with facts and the truth about
them, as "cause new --from" writes them. A case fails when another cause than the wanted one and those that follow from it is
likely, and when taking one fact away, as if its probe had timed out, confirms a wrong one. Exit code 1 says that cases failed.`,
		Example: `  secondline cause test my-causes
  secondline cause test diagnostics/causes -o json`,
	}
	out := addOutput(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		list := causesTried{Cases: []causeTried{}}
		failed := 0
		for _, dir := range args {
			cat, err := catalogueWith(dir)
			if err != nil {
				return err
			}
			found, err := cases.Load(os.DirFS(dir))
			if err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(found)) {
				c := found[name]
				problems := c.Check(cat)
				if len(problems) > 0 {
					failed++
				}
				list.Cases = append(list.Cases, causeTried{dir + "/" + name, c.Want.Cause, append([]string{}, problems...)})
			}
		}
		if len(list.Cases) == 0 {
			return fault.New(fault.NotFound, "there is no case in %s", strings.Join(args, ", ")).
				WithHint("a case is a file *.json of facts with their truth: secondline cause new NAME --from INCIDENT writes one")
		}
		if err := out.write(env.stdout, list, func(w io.Writer) { showCausesTried(w, env.paints(w), list, failed) }); err != nil {
			return err
		}
		if failed > 0 {
			return exitCode(fault.ExitFailed)
		}
		return nil
	}
	return cmd
}

// catalogueWith is what is shipped, with the causes of the folder. A folder that
// is the source of what is shipped adds nothing.
func catalogueWith(dir string) (*diagnostics.Catalogue, error) {
	probes, err := builtinProbes()
	if err != nil {
		return nil, err
	}
	shipped, err := localCatalogue(nil, nil, probes)
	if err != nil {
		return nil, err
	}
	folder, err := diagnostics.LoadCatalogue(os.DirFS(dir), probes)
	if err != nil {
		return nil, err
	}
	own := folder.All()
	all := slices.Clone(own)
	for _, c := range shipped.Causes.All() {
		if !slices.ContainsFunc(own, func(o *diagnostics.Cause) bool { return o.ID == c.ID }) {
			all = append(all, c)
		}
	}
	return diagnostics.NewCatalogue(all)
}

func showCausesTried(w io.Writer, p paint, list causesTried, failed int) {
	for _, c := range list.Cases {
		word, colour := "ok    ", green
		if len(c.Problems) > 0 {
			word, colour = "FAILED", red
		}
		fmt.Fprintf(w, "%s  %s\n", p.as(colour, word), oneLine(c.Case))
		for _, problem := range c.Problems {
			say(w, "        %s", problem)
		}
	}
	say(w, "%d cases, %d failed", len(list.Cases), failed)
}

// causeEvidence is a piece of evidence with what it says in numbers.
type causeEvidence struct {
	ID          string  `json:"id"`
	Role        string  `json:"role"`
	Group       string  `json:"group"`
	That        string  `json:"that"`
	IfTrue      float64 `json:"if_true"`  // log-odds
	IfFalse     float64 `json:"if_false"` // log-odds
	Conclusive  string  `json:"conclusive"`
	Explanation string  `json:"explanation"`
}

type causeExplained struct {
	ID       string          `json:"id"`
	Title    string          `json:"title"`
	Prior    float64         `json:"prior"`
	Symptom  string          `json:"symptom"`
	Reads    []string        `json:"reads"`
	Evidence []causeEvidence `json:"evidence"`
	Follows  []string        `json:"follows"`
	Behind   []string        `json:"behind"`
}

func causeExplain(env *environment) *cobra.Command {
	var dirs []string
	cmd := &cobra.Command{
		Use: "explain ID", Short: "Explain how a cause is told from others: what is read, and what each answer weighs", Args: exactly(1),
		Long: `Weights are log-odds, as the ranking adds them: +4.6 makes a cause a hundred times as probable, -4.6 a hundredth. Of one group the
strongest counts in full and the others a fifth. Evidence that is required rules the cause out when it is false; only a proof confirms.`,
		Example: `  secondline cause explain disk-full-deleted-open`,
	}
	out := addOutput(cmd)
	cmd.Flags().StringSliceVar(&dirs, "dir", nil, "folder with causes of your own")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		probes, err := builtinProbes()
		if err != nil {
			return err
		}
		cat, err := localCatalogue(dirs, nil, probes)
		if err != nil {
			return err
		}
		cause, err := cat.Causes.Find(args[0])
		if err != nil {
			return err
		}
		x := explainCause(cat.Causes, cause)
		return out.write(env.stdout, x, func(w io.Writer) { showExplained(w, env.paints(w), x) })
	}
	return cmd
}

func explainCause(cat *diagnostics.Catalogue, c *diagnostics.Cause) causeExplained {
	x := causeExplained{
		ID: c.ID, Title: c.Title, Prior: c.Prior, Symptom: c.Symptoms.Holds, Reads: c.Reads(), Evidence: []causeEvidence{},
		Follows: c.Explains, Behind: []string{},
	}
	for _, e := range c.Evidence {
		x.Evidence = append(x.Evidence, causeEvidence{
			ID: e.ID, Role: string(e.Role), Group: e.Group, That: e.That, Conclusive: e.Conclusive, Explanation: e.Say,
			IfTrue: math.Log(e.SeenIfCause / e.SeenOtherwise), IfFalse: math.Log((1 - e.SeenIfCause) / (1 - e.SeenOtherwise)),
		})
	}
	for _, other := range cat.All() {
		if slices.Contains(other.Explains, c.ID) {
			x.Behind = append(x.Behind, other.ID)
		}
	}
	return x
}

func showExplained(w io.Writer, p paint, x causeExplained) {
	fmt.Fprintln(w, p.as(bold, oneLine(x.ID+": "+x.Title)))
	if len(x.Evidence) == 0 {
		say(w, "  it is known by name only: nothing says yet how it is found out")
		return
	}
	say(w, "  prior     %.3g", x.Prior)
	say(w, "  symptom   %s", x.Symptom)
	for i, read := range x.Reads {
		word := "reads"
		if i > 0 {
			word = ""
		}
		say(w, "  %-9s %s", word, read)
	}
	say(w, "  evidence  if true  if false")
	for _, e := range x.Evidence {
		say(w, "            %+7.1f  %+8.1f  %s (%s, group %s)", e.IfTrue, e.IfFalse, e.ID, e.Role, e.Group)
		say(w, "                               %s", e.That)
		if e.Conclusive != "" {
			say(w, "                               false counts only when: %s", e.Conclusive)
		}
	}
	for word, list := range map[string][]string{"from it": x.Follows, "behind it": x.Behind} {
		if len(list) > 0 {
			say(w, "  %-9s %s", word, strings.Join(list, ", "))
		}
	}
}

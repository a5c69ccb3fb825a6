package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

func runbookNew(env *environment) *cobra.Command {
	var cause, dir string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Write a runbook to begin with: complete, commented, and right for lint", Args: exactly(1),
		Long: `Writes NAME.yaml and never over a file that is there. With --cause it cures that cause: its inputs are what the cause says of
its object, and it asks for the cause's symptom before it acts and afterwards.`,
		Example: `  secondline runbook new restart-orders
  secondline runbook new clean-spool --cause directory-over-budget --dir my-runbooks`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&cause, "cause", "", "shipped cause that the runbook cures; see \"secondline cause list --local\"")
	cmd.Flags().StringVar(&dir, "dir", ".", "folder to write it to")
	_ = cmd.MarkFlagDirname("dir")
	_ = cmd.RegisterFlagCompletionFunc("cause", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		causes, err := localCauses(nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var words []string
		for _, c := range causes {
			words = append(words, c.ID+"\t"+c.Title)
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	})
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		probes, err := builtinProbes()
		if err != nil {
			return err
		}
		shipped, err := localCatalogue(nil, nil, probes)
		if err != nil {
			return err
		}
		text, err := firstRunbook(args[0], cause, shipped, runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: diagnostics.SpecsOf(probes)})
		if err != nil {
			return err
		}
		file := filepath.Join(dir, args[0]+".yaml")
		if err := writeNew(file, text); err != nil {
			return err
		}
		say(env.stdout, "%s is written; change what it says behind CHANGE, and check it with: secondline runbook lint %[1]s", file)
		return nil
	}
	return cmd
}

// writeNew writes a file that is not there yet, in a folder that it makes.
func writeNew(file, text string) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // people share runbooks, and others may read them
		return fmt.Errorf("make the folder: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // people share runbooks, and others may read them
	switch {
	case errors.Is(err, fs.ErrExist):
		return fault.New(fault.Conflict, "%s is there already", file).WithHint("give another name, or remove it first")
	case err != nil:
		return fmt.Errorf("write the runbook: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err = f.WriteString(text); err != nil {
		return fmt.Errorf("write the runbook: %w", err)
	}
	return nil
}

// firstRunbook returns the text of a runbook of the name, which lint takes as it
// is. causeID "" makes one that people start.
func firstRunbook(name, causeID string, shipped *controller.Catalogue, o runbooks.ParseOptions) (string, error) {
	if taken, ok := shipped.Runbooks.Find(name); ok {
		return "", fault.New(fault.Conflict, "runbook %q is in this binary already, as %s", name, taken.File).WithHint("give yours a name of its own")
	}
	if causeID == "" {
		return loadable(name, startedByPeople(name), o)
	}
	cause, err := shipped.Causes.Find(causeID)
	if err != nil {
		return "", err
	}
	text, err := loadable(name, curing(name, cause, symptomOf(cause)), o)
	if err != nil { // its symptom reads what a runbook does not: the author says how it is measured
		text, err = loadable(name, curing(name, cause, someSymptom()), o)
	}
	return text, err
}

// loadable is lint, before anything is written.
func loadable(name, text string, o runbooks.ParseOptions) (string, error) {
	_, err := runbooks.Parse(name+".yaml", []byte(text), o)
	if found := yamlx.Errors(err); len(found) > 0 {
		return "", fault.New(fault.Invalid, "%s", found[0].Message)
	}
	return text, err
}

// symptom is how a runbook measures that what it cures is there.
type symptom struct {
	probes      []string // lines of YAML
	holds, gone string
	measure     string // comment on holds
}

// symptomOf takes over what a cause says of itself: the predicate, and the
// probes that it reads, with inputs in place of the object.
func symptomOf(c *diagnostics.Cause) symptom {
	holds := onInputs(c.Symptoms.Holds)
	s := symptom{holds: holds, gone: "!(" + holds + ")", measure: "the symptom, as the cause has it"}
	root, err := yamlx.Parse(c.File, c.Source)
	if err != nil {
		return s // it was parsed before
	}
	needs, _ := root.Get("needs")
	if needs == nil {
		return s
	}
	for _, name := range needs.Keys() {
		if !regexp.MustCompile(`(^|[^.a-z0-9_])` + regexp.QuoteMeta(name) + `\.`).MatchString(s.holds) {
			continue
		}
		var use struct {
			Probe string            `yaml:"probe"`
			With  map[string]string `yaml:"with"`
		}
		node, _ := needs.Get(name)
		if node.Decode(&use) != nil {
			continue
		}
		line := name + ": {probe: " + use.Probe
		if len(use.With) > 0 {
			line += ", with: " + flow(use.With)
		}
		s.probes = append(s.probes, line+"}")
	}
	return s
}

// What stands where the author knows better.
const (
	active    = `status.active_state == "active"`
	notActive = `status.active_state != "active"`
)

// someSymptom stands where the author will say the real one.
func someSymptom() symptom {
	return symptom{
		probes:  []string{"status: {probe: unit.status, with: {unit: cron.service}}"},
		holds:   notActive,
		gone:    active,
		measure: "CHANGE: how the symptom is measured; secondline probe list shows with what",
	}
}

// onInputs reads an expression about the object of a cause from the inputs.
func onInputs(text string) string {
	return regexp.MustCompile(`\bobject\.`).ReplaceAllString(strings.Join(strings.Fields(text), " "), "inputs.")
}

func flow(with map[string]string) string {
	var words []string
	for name, text := range with {
		words = append(words, name+": "+quoted(onInputs(text)))
	}
	slices.Sort(words)
	return "{" + strings.Join(words, ", ") + "}"
}

// quoted writes one line of text as YAML.
func quoted(text string) string { return "'" + strings.ReplaceAll(oneLine(text), "'", "''") + "'" }

// typeOfKey is what the keys of objects hold; see the causes.
func typeOfKey(key string) runbooks.InputType {
	switch key {
	case "mount", "path", "file", "directory":
		return runbooks.InputPath
	case "unit", "service":
		return runbooks.InputUnit
	}
	return runbooks.InputString
}

func startedByPeople(name string) string {
	return skeleton{
		name: name, title: "CHANGE: what it does, in a few words",
		inputs: []string{"unit: {type: unit, description: the service}"},
		symptom: symptom{
			probes: []string{`status: {probe: unit.status, with: {unit: "${inputs.unit}"}}`}, holds: notActive, gone: active,
			measure: "CHANGE: what is wrong",
		},
	}.String()
}

func curing(name string, c *diagnostics.Cause, s symptom) string {
	sk := skeleton{name: name, title: "Cure: " + c.Title, cause: c, symptom: s}
	for _, key := range c.Object {
		sk.inputs = append(sk.inputs, fmt.Sprintf("%s: {type: %s, from: hypothesis.object.%[1]s}", key, typeOfKey(key)))
	}
	return sk.String()
}

// skeleton is a runbook to begin with.
type skeleton struct {
	name, title string
	cause       *diagnostics.Cause // nil: people start it
	inputs      []string           // lines of YAML
	symptom     symptom
}

func (s skeleton) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# The rules: docs/runbook-format.md, or secondline runbook explain. Actions: secondline runbook explain --actions.")
	line("# Editors complete and check it with the schema that secondline runbook schema prints.")
	if s.cause != nil {
		for _, never := range s.cause.Never {
			line("# Never: %s", oneLine(never))
		}
	}
	line("apiVersion: secondline/v1\nkind: Runbook\nmetadata:\n  name: %s\n  title: %s", quoted(s.name), quoted(s.title))
	line("  # owner: the team that answers for it\nspec:")
	if s.cause == nil {
		line("  # cures: [the id of a cause]   # without it, only people start it; secondline cause list --local")
	} else {
		line("  cures: [%s]", s.cause.ID)
	}
	if len(s.inputs) > 0 {
		line("  inputs: # typed, and checked wherever they come from")
	}
	for _, in := range s.inputs {
		line("    %s", in)
	}
	line("  limits:\n    locks: [host] # nothing else is done to the host meanwhile\n    deadline: 15m\n  probes: # read again each time an expression uses them")
	for _, p := range s.symptom.probes {
		line("    %s", p)
	}
	line("  require: # right before the first step; false or cannot tell refuses\n    # %s", s.symptom.measure)
	line("    - that: %s\n      because: the symptom is gone", quoted(s.symptom.holds))
	line(`  steps:
    - id: cure
      run: [/bin/true] # CHANGE: a command and its arguments, without a shell; or another action
      # as: root
      timeout: 2m
      preserve: none # or what is saved first, when the step destroys it: [journal, open-files, log-tail, processes]
      verify: # an exit status is no proof: the symptom is measured again
        that: %s
        within: 1m
        hold: 30s
      undo: none # or {run: [...]}`, quoted(s.symptom.gone))
	line("  autonomy: approve # a person says yes to each plan; auto is possible once it has earned it")
	line("  # escalate: {to: a team, collect: [journal], say: what it did not cure}")
	return b.String()
}

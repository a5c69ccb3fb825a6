package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

func runbookDraft(env *environment, conn *connection) *cobra.Command {
	o := &draftFlags{}
	cmd := &cobra.Command{
		Use: "draft", Short: "Write a runbook to begin with from what was done in an incident", Args: exactly(0),
		Long: `Takes what people did in the incident, in order: the steps that were verified of the runs that they started, and the commands that
they wrote down in notes, on lines that begin with "$ ". --commands FILE adds a file of commands, one a line; it does without an
incident, too.

A command is taken apart without a shell. One that needs a shell (a pipe, a redirect, a pattern, a variable) is not guessed: it
becomes a comment, as a proposal of a script. What only looked becomes a comment, too. The cause, its inputs and its symptom come
from the incident's best hypothesis; values that are those of its object become ${inputs.…}. Behind CHANGE stands what a
person must decide, and lint says it as well. It writes a new file and never over one that is there.`,
		Example: `  secondline runbook draft --from 12
  secondline runbook draft --from 12 --commands what-i-typed.txt --name clean-spool --dir my-runbooks`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "the incident (number or id)")
	f.StringVar(&o.commands, "commands", "", "file with commands, one a line; - is standard input")
	f.StringVar(&o.name, "name", "", "name of the runbook (incident-N when not given)")
	f.StringVar(&o.dir, "dir", ".", "folder to write it to")
	f.StringSliceVar(&o.runbooks, "runbooks", nil, "folder with runbooks of your own, whose steps may have been run")
	_ = cmd.MarkFlagFilename("commands")
	_ = cmd.MarkFlagDirname("dir")
	_ = cmd.MarkFlagDirname("runbooks")
	_ = cmd.RegisterFlagCompletionFunc("from", func(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return conn.completeIncidents()(cmd, nil, word)
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.from == "" && o.commands == "" {
			return usageError{fault.New(fault.Invalid, "say from what: --from INCIDENT, or --commands FILE")}
		}
		d, err := o.draft(env)
		if err != nil {
			return err
		}
		if o.from != "" {
			ask := conn.askBriefly(func(ctx context.Context, client *api.Client, _ []string) error { return d.read(ctx, client, o.from) })
			if err := ask(cmd, nil); err != nil {
				return err
			}
		}
		return d.write(env, o)
	}
	return cmd
}

// draftFlags say from what a draft is made, and where it is written to.
type draftFlags struct {
	from, commands, name, dir string
	runbooks                  []string // folders
}

// draft begins one with what is known without a controller.
func (o *draftFlags) draft(env *environment) (*draft, error) {
	probes, err := builtinProbes()
	if err != nil {
		return nil, err
	}
	known, err := localCatalogue(nil, o.runbooks, probes)
	if err != nil {
		return nil, err
	}
	d := &draft{known: known, options: runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: diagnostics.SpecsOf(probes), Forbidden: known.Causes.Forbidden()}}
	if o.commands == "" {
		return d, nil
	}
	typed, err := readInput(env, o.commands)
	d.typed = string(typed)
	return d, err
}

// write makes the file and says what lint thinks of it.
func (d *draft) write(env *environment, o *draftFlags) error {
	d.addLines(d.typed)
	d.name = cmp.Or(o.name, d.name, "from-commands")
	if !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(d.name) {
		return usageError{fault.New(fault.Invalid, "%q is not the name of a runbook: lower-case words with dashes", d.name).WithField("name")}
	}
	if taken, ok := d.known.Runbooks.Find(d.name); ok {
		return fault.New(fault.Conflict, "there is a runbook %q already, in %s", d.name, taken.File).WithHint("give another --name")
	}
	if len(d.steps) == 0 {
		return fault.New(fault.NotFound, "nothing was done from which a runbook could be made").
			WithHint("it takes verified steps of runs that people started, and commands on lines that begin with \"$ \" in notes: secondline incident note; or --commands FILE")
	}
	text, file := d.text(), filepath.Join(o.dir, d.name+".yaml")
	if err := writeNew(file, text); err != nil {
		return err
	}
	say(env.stdout, "%s is written from %d steps of runs and %d commands", file, len(d.steps)-d.commands, d.commands)
	_, err := runbooks.Parse(file, []byte(text), d.options)
	if err == nil {
		say(env.stdout, "lint takes it as it is; read what stands behind CHANGE before anybody runs it")
		return nil
	}
	say(env.stdout, "what a person must decide first, as lint says it:")
	for _, e := range yamlx.Errors(err) {
		say(env.stdout, "  %s", e.Error())
	}
	return nil
}

// draft is a runbook in the making.
type draft struct {
	known    *controller.Catalogue
	options  runbooks.ParseOptions
	name     string
	title    string
	typed    string          // a file of commands
	about    *api.Hypothesis // the best of the incident; nil for none
	steps    []draftStep
	commands int // of the steps those that a person wrote down
}

// draftStep is one thing that was done: keys of a step, or a comment alone.
type draftStep struct {
	comments []string
	keys     []draftKey // none: only the comments
	changes  bool       // it is not known to only look
}

// draftKey is a key of a step with its value as JSON, which is YAML, too.
type draftKey struct{ name, value, comment string }

// read takes what the controller knows of the incident.
func (d *draft) read(ctx context.Context, client *api.Client, ref string) error {
	in, err := client.FindIncident(ctx, ref)
	if err != nil {
		return err
	}
	d.name, d.title = fmt.Sprintf("incident-%d", in.Number), in.Title
	if len(in.Hypotheses) > 0 { // best first
		d.about = &in.Hypotheses[0]
	}
	type done struct {
		at  int64 // microseconds, to order what was run and what was written down
		add func() error
	}
	var all []done
	for _, run := range in.Runs {
		if run.Cause == "" && !run.DryRun && !run.StartedAt.IsZero() {
			all = append(all, done{run.StartedAt.UnixMicro(), func() error { return d.addRun(ctx, client, run) }})
		}
	}
	var after int64
	for {
		page, err := client.ListEvents(ctx, in.ID, after)
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			if after = e.Seq; e.Kind == string(incident.EventNote) {
				all = append(all, done{e.At.UnixMicro(), func() error { d.addNote(e); return nil }})
			}
		}
		if len(page.Events) == 0 || after >= in.Seq {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b done) int { return cmp.Compare(a.at, b.at) })
	for _, one := range all {
		if err := one.add(); err != nil {
			return err
		}
	}
	return nil
}

// addNote takes the commands of a note: the lines that show a prompt.
func (d *draft) addNote(e api.Event) {
	for line := range strings.Lines(e.Text) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
			d.addCommand(command)
		}
	}
}

// addLines takes a file of commands. Empty lines and comments are passed over.
func (d *draft) addLines(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		if line != "" && !strings.HasPrefix(line, "#") {
			d.addCommand(line)
		}
	}
}

func (d *draft) addCommand(line string) {
	d.commands++
	clear := string(redact.New().Redact([]byte(line)))
	w := readCommand(line)
	if clear != line {
		w = written{line: clear, why: "a secret, which was taken out; a runbook names it as secret/NAME"}
	}
	switch {
	case w.why != "":
		d.steps = append(d.steps, draftStep{comments: scriptProposal(w), changes: true})
		return
	case onlyLooks(w.argv):
		d.steps = append(d.steps, draftStep{comments: []string{"looked: " + w.line}})
		return
	}
	s := draftStep{comments: []string{"as it was written: " + w.line}, changes: true}
	if name, state, ok := asUnit(w.argv); ok {
		s.keys = append(s.keys, draftKey{name: "unit", value: d.flow(map[string]any{"name": name, "state": state})})
		if state == "restarted" || state == "stopped" {
			s.keys = append(s.keys, draftKey{name: "preserve", value: "[journal]"})
		}
	} else {
		s.keys = append(s.keys, draftKey{name: "run", value: d.flow(literals(w.argv))},
			draftKey{"preserve", "none", "CHANGE if it destroys what would tell the cause: [journal, open-files, log-tail, processes]"})
	}
	if w.as != "" {
		s.keys = append(s.keys, draftKey{name: "as", value: word(w.as)})
	}
	s.keys = append(s.keys, draftKey{"undo", "none", "CHANGE if it can be taken back: {run: [...]}"})
	d.steps = append(d.steps, s)
}

// literals keeps a template from reading what stands in an argument.
func literals(argv []string) []any {
	out := make([]any, len(argv))
	for i, arg := range argv {
		out[i] = strings.ReplaceAll(arg, "${", "$${")
	}
	return out
}

// scriptProposal shows a line that needs a shell as what it could become.
func scriptProposal(w written) []string {
	return []string{
		"CHANGE: this needs " + w.why + ", so it is no step yet. As it was written:",
		"- id: CHANGE",
		"  script:",
		"    interpreter: [sh, -eu]   # values only as env: {NAME: \"${inputs.…}\"}",
		"    body: " + jsonText(w.line),
	}
}

// addRun takes the steps of a run that were verified.
func (d *draft) addRun(ctx context.Context, client *api.Client, run api.Run) error {
	view, err := client.Plan(ctx, run.ID)
	if err != nil {
		return err
	}
	if view.Plan == nil {
		return nil
	}
	source := d.stepsOf(run.Runbook, view.Plan.RunbookDigest)
	for _, planned := range view.Plan.Steps {
		became := ""
		for _, s := range run.Steps {
			if s.ID == planned.ID {
				became = s.Status
			}
		}
		if planned.Skipped != "" || planned.Noop || planned.Phase != runbooks.PhaseMain && planned.Phase != "" {
			continue
		}
		what := fmt.Sprintf("step %s of %s, run by %s", planned.ID, run.Runbook, run.RequestedBy)
		if became != string(runbooks.StepVerified) {
			d.steps = append(d.steps, draftStep{comments: []string{what + ": " + cmp.Or(became, "not reached") + ", so it is left out"}})
			continue
		}
		d.steps = append(d.steps, d.fromPlan(what, planned, source[planned.ID], view.Plan.Inputs))
	}
	return nil
}

// fromPlan writes a step that was run: by its source where that is known, else
// by the command in its plan.
func (d *draft) fromPlan(what string, p runbooks.PlannedStep, source map[string]any, inputs map[string]string) draftStep {
	s := draftStep{comments: []string{what}, changes: p.Effect != runbooks.Read}
	with, ok := source[p.Action]
	switch {
	case ok:
		s.keys = append(s.keys, draftKey{name: p.Action, value: d.flow(filled(with, inputs))})
	case p.Action == "run" && len(p.Argv) > 0:
		s.keys = append(s.keys, draftKey{name: "run", value: d.flow(literals(p.Argv))})
	default:
		s.comments = append(s.comments, "CHANGE: it is a step of "+p.Action+", whose file is not at hand (--runbooks names the folder); its plan was:")
		for line := range strings.Lines(p.Diff) {
			s.comments = append(s.comments, "  "+strings.TrimRight(line, "\n"))
		}
		return s
	}
	if p.Action == "run" {
		s.keys = append(s.keys, draftKey{name: "effect", value: string(p.Effect)})
	}
	for _, name := range []string{"timeout", "preserve", "undo", "touches"} {
		if v, ok := source[name]; ok {
			s.keys = append(s.keys, draftKey{name: name, value: d.flow(filled(v, inputs))})
		}
	}
	if p.As != "" {
		s.keys = append(s.keys, draftKey{name: "as", value: word(p.As)})
	}
	if _, said := source["undo"]; !said && p.Action == "run" && s.changes {
		s.keys = append(s.keys, draftKey{"undo", "none", "CHANGE if it can be taken back: {run: [...]}"})
	}
	return s
}

// stepsOf returns the steps of the runbook as its file has them, by id, when the
// very file that was run is at hand.
func (d *draft) stepsOf(name, digest string) map[string]map[string]any {
	found := map[string]map[string]any{}
	rb, ok := d.known.Runbooks.Find(name)
	if !ok || rb.Digest != digest {
		return found
	}
	root, err := yamlx.Parse(rb.File, rb.Source)
	if err != nil {
		return found // it was loaded before
	}
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				collect(item)
			}
		case map[string]any:
			if id, ok := v["id"].(string); ok {
				found[id] = v
			}
			for _, key := range []string{"spec", "steps", "choose", "parallel"} {
				collect(v[key])
			}
		}
	}
	var all any
	if root.Decode(&all) == nil {
		collect(all)
	}
	return found
}

// filled puts the values of the run in place of its inputs.
func filled(v any, inputs map[string]string) any {
	switch v := v.(type) {
	case string:
		var pairs []string
		for name, value := range inputs {
			pairs = append(pairs, "${inputs."+name+"}", strings.ReplaceAll(value, "${", "$${"))
		}
		return strings.NewReplacer(pairs...).Replace(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = filled(v[i], inputs)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key := range v {
			out[key] = filled(v[key], inputs)
		}
		return out
	}
	return v
}

// flow writes a value in one line, with inputs in place of what is the object's.
func (d *draft) flow(v any) string { return jsonText(d.onObject(v)) }

// word writes a name without quotes where it needs none.
func word(name string) string {
	if regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(name) {
		return name
	}
	return jsonText(name)
}

func jsonText(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "null" // our own strings, lists and maps: they marshal
	}
	return strings.TrimSpace(b.String())
}

// onObject replaces whole values, and the values of options, that are those of
// the object. A part of a path is none: /var is not what /var/log means.
func (d *draft) onObject(v any) any {
	switch v := v.(type) {
	case string:
		if d.about == nil {
			return v
		}
		option, value, isOption := strings.Cut(v, "=")
		if !isOption || !strings.HasPrefix(option, "-") {
			option, value, isOption = "", v, false
		}
		for _, key := range slices.Sorted(maps.Keys(d.about.Object)) {
			is := d.about.Object[key]
			if is == "" || value != is && !(typeOfKey(key) == runbooks.InputUnit && unitName(value) == unitName(is)) {
				continue
			}
			if isOption {
				return option + "=${inputs." + key + "}"
			}
			return "${inputs." + key + "}"
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = d.onObject(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key := range v {
			out[key] = d.onObject(v[key])
		}
		return out
	}
	return v
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

func runbookExplain(env *environment) *cobra.Command {
	var functions, steps bool
	cmd := &cobra.Command{
		Use: "explain [NAME]", Short: "Explain a rule, a function of expressions or an action, or list them all", Args: atMostOne(),
		Long: `Without a flag, NAME is the id of a rule, as lint names it.`,
		Example: `  secondline runbook explain SL001
  secondline runbook explain --functions
  secondline runbook explain --functions bytesize
  secondline runbook explain --actions unit`,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return explainable(functions, steps), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&functions, "functions", false, "the functions of expressions")
	cmd.Flags().BoolVar(&steps, "actions", false, "the actions of steps, with their parts")
	out := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case functions && steps:
			return usageError{errUsage(cmd, fault.New(fault.Invalid, "functions or actions, not both"))}
		case functions:
			return explainFunctions(env, out, args)
		case steps:
			return explainActions(env, out, args)
		}
		return explainRules(env, out, args)
	}
	return cmd
}

// explainable are the words that explain takes.
func explainable(functions, steps bool) []string {
	var words []string
	switch {
	case functions:
		for _, f := range expr.Functions() {
			words = append(words, f.Name+"\t"+f.Doc)
		}
	case steps:
		for _, a := range runbooks.Actions(actions.Decoders()) {
			words = append(words, a.Name+"\t"+a.Form.Doc)
		}
	default:
		words = runbooks.Rules()
	}
	return words
}

// notExplained says that there is nothing of the name.
func notExplained(what, name string, words []string) error {
	known := make([]string, 0, len(words))
	for _, word := range words {
		name, _, _ := strings.Cut(word, "\t")
		known = append(known, name)
	}
	err := fault.New(fault.NotFound, "there is no %s %q", what, name)
	if near := yamlx.Suggest(name, known); near != "" {
		return err.WithHint("did you mean %q?", near)
	}
	return err.WithHint("there are %s", strings.Join(known, ", "))
}

func explainRules(env *environment, out *format, args []string) error {
	ids := args
	if len(args) == 0 {
		ids = runbooks.Rules()
	}
	type rule struct {
		ID   string `json:"id"`
		Text string `json:"text"`
	}
	rules := make([]rule, 0, len(ids))
	for _, id := range ids {
		text, ok := runbooks.Explain(id)
		if !ok {
			isAction := func(a runbooks.ActionForm) bool { return a.Name == id }
			if slices.ContainsFunc(runbooks.Actions(actions.Decoders()), isAction) {
				return fault.New(fault.NotFound, "there is no rule %q", id).WithHint("secondline runbook explain --actions %s", id)
			}
			return notExplained("rule", id, runbooks.Rules())
		}
		rules = append(rules, rule{strings.ToUpper(id), text})
	}
	return out.write(env.stdout, rules, func(w io.Writer) {
		for _, r := range rules {
			if len(args) == 0 {
				r.Text, _, _ = strings.Cut(r.Text, "\n")
			}
			fmt.Fprintf(w, "%s  %s\n", oneLine(r.ID), clean(r.Text))
		}
	})
}

// function is a function of expressions, for programs.
type function struct {
	Group     string `json:"group"`
	Name      string `json:"name"`
	Signature string `json:"signature"`
	Doc       string `json:"doc"`
	Example   string `json:"example"` // an expression that is true
}

func explainFunctions(env *environment, out *format, args []string) error {
	list := []function{}
	for _, group := range expr.FunctionGroups() {
		for _, f := range group.Functions {
			if len(args) == 0 || f.Name == args[0] {
				list = append(list, function{group.Title, f.Name, f.Signature, f.Doc, f.Example})
			}
		}
	}
	if len(list) == 0 {
		return notExplained("function", args[0], explainable(true, false))
	}
	return out.write(env.stdout, list, func(w io.Writer) {
		group := ""
		for _, f := range list {
			if len(args) == 0 && f.Group != group {
				group = f.Group
				say(w, "%s", group)
			}
			say(w, "  %s", f.Signature)
			say(w, "      %s", f.Doc)
			say(w, "      %s", f.Example)
		}
	})
}

// stepAction is an action with the JSON Schema of its part, for programs.
type stepAction struct {
	Name   string         `json:"name"`
	Schema *runbooks.Form `json:"schema"`
}

func explainActions(env *environment, out *format, args []string) error {
	list := []stepAction{}
	for _, a := range runbooks.Actions(actions.Decoders()) {
		if len(args) == 0 || a.Name == args[0] {
			list = append(list, stepAction{a.Name, a.Form})
		}
	}
	if len(list) == 0 {
		return notExplained("action", args[0], explainable(false, true))
	}
	return out.write(env.stdout, list, func(w io.Writer) {
		rows := [][]string{{"ACTION", "WHAT IT DOES"}}
		if len(args) > 0 {
			say(w, "%s: %s", list[0].Name, list[0].Schema.Doc)
			rows = parts("", list[0].Schema)
			if len(rows) > 0 {
				rows = slices.Insert(rows, 0, []string{"PART", "", "WHAT IT IS"})
			}
		} else {
			for _, a := range list {
				rows = append(rows, []string{a.Name, a.Schema.Doc})
			}
		}
		columns(w, rows)
	})
}

// parts are the fields of a mapping as rows, those that are needed first; what
// is below a field stands behind it. An action without fields says what its
// values may be.
func parts(prefix string, f *runbooks.Form) [][]string {
	var rows [][]string
	optional := slices.DeleteFunc(slices.Sorted(maps.Keys(f.Fields)), func(name string) bool { return slices.Contains(f.Needed, name) })
	for _, name := range slices.Concat(f.Needed, optional) {
		need := "optional"
		if slices.Contains(f.Needed, name) {
			need = "required"
		}
		field := f.Fields[name]
		doc := field.Doc
		if len(field.Words) > 0 {
			doc += ": " + strings.Join(field.Words, ", ")
		}
		rows = append(rows, []string{prefix + name, need, doc})
		rows = append(rows, parts(prefix+name+".", field)...)
	}
	return rows
}

func runbookSchema(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of runbooks, for editors", Args: exactly(0),
		Long: `An editor that reads it completes words, and marks unknown and missing ones while you write. Lint checks more: it also knows
the types of expressions.`,
		Example: `  secondline runbook schema > runbook.schema.json
  # and as the first line of a runbook:
  # yaml-language-server: $schema=runbook.schema.json`,
	}
	flags := addLintFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		probes, err := flags.probes(cmd, env)
		if err != nil {
			return err
		}
		enc := json.NewEncoder(env.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(runbooks.Schema(runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: diagnostics.SpecsOf(probes)}))
	}
	return cmd
}

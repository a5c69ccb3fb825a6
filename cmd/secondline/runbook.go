package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/library"
)

func runbookCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runbook",
		Short: "See, check and explain runbooks",
		Long: `list and show ask the controller what it would run. With --local they show what this binary ships, and what --dir adds;
new, lint, explain, schema, plan, test, record, sign and verify need no controller.`,
	}
	conn := addConnection(env, cmd)
	return group(cmd, runbookList(env, conn), runbookShow(env, conn), runbookLint(env), runbookExplain(env), runbookSchema(env), runbookNew(env),
		runbookPlan(env), runbookTest(env), runbookRecord(env), runbookSign(env), runbookVerify(env),
		runbookStats(env, conn), runbookDraft(env, conn))
}

// localFlags make list and show work without a controller.
type localFlags struct {
	local bool
	dirs  []string
}

func (l *localFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&l.local, "local", false, "what this binary ships, without asking a controller")
	cmd.Flags().StringSliceVar(&l.dirs, "dir", nil, "folder with "+what+" of your own; implies --local")
}

func (l *localFlags) wanted() bool { return l.local || len(l.dirs) > 0 }

// runbookSource is a runbook with its file, when it was read here.
type runbookSource struct {
	api.RunbookInfo
	Source string `json:"source,omitempty"`
}

func findRunbooks(ctx context.Context, client *api.Client) ([]runbookSource, error) {
	list, err := client.ListRunbooks(ctx)
	out := make([]runbookSource, 0, len(list.Runbooks))
	for _, r := range list.Runbooks {
		out = append(out, runbookSource{RunbookInfo: r})
	}
	return out, err
}

func localRunbooks(dirs []string) ([]runbookSource, error) {
	probes, err := builtinProbes()
	if err != nil {
		return nil, err
	}
	cat, err := localCatalogue(nil, dirs, probes)
	if err != nil {
		return nil, err
	}
	var out []runbookSource
	for _, r := range cat.Runbooks.All() {
		out = append(out, runbookSource{api.DescribeRunbook(r), string(r.Source)})
	}
	return out, nil
}

// eitherWay runs do with what the binary has, or with what the controller has.
func eitherWay[T any](conn *connection, l *localFlags, local func([]string) ([]T, error), remote func(context.Context, *api.Client) ([]T, error),
	do func(list []T, args []string) error,
) func(*cobra.Command, []string) error {
	ask := conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		list, err := remote(ctx, client)
		if err != nil {
			return err
		}
		return do(list, args)
	})
	return func(cmd *cobra.Command, args []string) error {
		if !l.wanted() {
			return withLocalHint(ask(cmd, args))
		}
		list, err := local(l.dirs)
		if err != nil {
			return err
		}
		return do(list, args)
	}
}

// withLocalHint says that there is a way without a controller.
func withLocalHint(err error) error {
	if fault.Is(err, fault.Unreachable) || fault.Is(err, fault.Unauthenticated) {
		return fault.Wrap(fault.KindOf(err), err, "ask the controller").
			WithHint("%s", strings.TrimPrefix(hintOf(err)+"; or see what this binary ships, with --local", "; "))
	}
	return err
}

func runbookList(env *environment, conn *connection) *cobra.Command {
	var l localFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List runbooks with what they cure", Args: exactly(0),
		Example: `  secondline runbook list
  secondline runbook list --self-service
  secondline runbook list --local -o json`,
	}
	out := addOutput(cmd)
	l.add(cmd, "runbooks")
	selfService := cmd.Flags().Bool("self-service", false, "only those that requesters may start on what is theirs")
	cmd.RunE = eitherWay(conn, &l, localRunbooks, findRunbooks, func(list []runbookSource, _ []string) error {
		infos := api.RunbookList{Runbooks: []api.RunbookInfo{}}
		for _, r := range list {
			if r.SelfService || !*selfService {
				infos.Runbooks = append(infos.Runbooks, r.RunbookInfo)
			}
		}
		return out.write(env.stdout, infos, func(w io.Writer) {
			rows := [][]string{{"NAME", "AUTONOMY", "CURES", "TITLE"}}
			for _, r := range infos.Runbooks {
				rows = append(rows, []string{r.Name, r.Autonomy, orDash(strings.Join(r.Cures, ",")), r.Title})
			}
			columns(w, rows)
		})
	})
	return cmd
}

func runbookShow(env *environment, conn *connection) *cobra.Command {
	var l localFlags
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a runbook: what it needs, what it does", Args: exactly(1),
		Example: `  secondline runbook show restart-crashed-unit
  secondline runbook show restart-crashed-unit --local    # with its file`,
		ValidArgsFunction: conn.completeRunbooks(),
	}
	out := addOutput(cmd)
	l.add(cmd, "runbooks")
	cmd.RunE = eitherWay(conn, &l, localRunbooks, findRunbooks, func(list []runbookSource, args []string) error {
		for _, r := range list {
			if r.Name == args[0] {
				return out.write(env.stdout, r, func(w io.Writer) { showRunbook(w, env.paints(w), r) })
			}
		}
		var known []string
		for _, r := range list {
			known = append(known, r.Name)
		}
		return notThere("runbook", args[0], known)
	})
	return cmd
}

func showRunbook(w io.Writer, p paint, r runbookSource) {
	fmt.Fprintln(w, p.as(bold, oneLine(r.Name+": "+r.Title)))
	say(w, "  owner     %s", orDash(r.Owner))
	say(w, "  cures     %s", orDash(strings.Join(r.Cures, ", ")))
	say(w, "  autonomy  at most %s", r.Autonomy)
	if r.SelfService {
		say(w, "  for       self-service: requesters may start it on what is theirs")
	}
	say(w, "  file      %s, %s", r.File, r.Digest)
	for _, in := range r.Inputs {
		need := "required"
		switch {
		case in.From != "":
			need = "from " + in.From
		case !in.Required:
			need = "default " + strings.TrimSpace(in.Default)
		}
		say(w, "  input     %s (%s; %s) %s", in.Name, in.Accepts(), strings.TrimSpace(need), in.Description)
	}
	for i, s := range r.Steps {
		say(w, "  step %d    %s (%s, %s)", i+1, s.ID, s.Action, s.Effect)
	}
	for _, name := range r.Calls {
		say(w, "  calls     %s: secondline runbook show %s", name, name)
	}
	if r.Source == "" {
		return
	}
	say(w, "")
	for line := range strings.Lines(r.Source) {
		say(w, "%s", strings.TrimSuffix(line, "\n"))
	}
}

func runbookLint(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lint FILE|FOLDER…", Short: "Check runbook files; every mistake with its place and rule", Args: atLeastOne(),
		Long:    `Checks what the controller and the agent would check before they took the file. Exit code 1 says that there are mistakes.`,
		Example: `  secondline runbook lint my-runbooks`,
	}
	out, flags := addOutput(cmd), addLintFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		probes, err := flags.probes(cmd, env)
		if err != nil {
			return err
		}
		files, err := filesToLint(args, runbookFiles)
		if err != nil {
			return err
		}
		forbidden, err := flags.forbidden(env, probes)
		if err != nil {
			return err
		}
		o := runbooks.ParseOptions{
			Decoders: actions.Decoders(), Probes: diagnostics.SpecsOf(probes), Language: new(expr.Language), Forbidden: forbidden,
		}
		shipped, err := runbooks.LoadCatalogue(library.FS(), o)
		if err != nil {
			return err
		}
		shelf := runbooks.Shelf{}
		shelf.Put(shipped.All()...)
		o.Called = shelf.Find
		shelve(files, o, shelf)
		taken := newNames(env, "runbook")
		for _, rb := range shipped.All() {
			taken.ships(rb.Name, rb.File, rb.Source)
		}
		parse := parseAhead(files, o)
		return lint(env, out, files, func(file string, data []byte) error {
			rb, err := parse(file, data)
			if err != nil {
				return err
			}
			return taken.add(rb.Name, file, data)
		})
	}
	return cmd
}

// shelve puts the runbooks of the files on the shelf, whatever their order, so
// that each finds those that it calls. Mistakes are told by the lint itself.
func shelve(files []string, o runbooks.ParseOptions, shelf runbooks.Shelf) {
	texts, calls := map[string][]byte{}, false
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			texts[file] = data
			calls = calls || bytes.Contains(data, []byte("runbook:"))
		}
	}
	for grew := calls; grew; {
		grew = false
		for file, data := range texts {
			if rb, err := runbooks.Parse(file, data, o); err == nil {
				shelf.Put(rb)
				delete(texts, file)
				grew = true
			}
		}
	}
}

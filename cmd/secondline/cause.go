package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/causes"
)

func causeCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cause",
		Short: "See and check the catalogue of causes",
		Long: `list and show ask the controller. With --local they show what this binary ships, and what --dir adds; lint needs no
controller.`,
	}
	conn := addConnection(env, cmd)
	return group(cmd, causeList(env, conn), causeShow(env, conn), causeExplain(env), causeLint(env), causeTest(env))
}

// causeSource is a cause with its file, when it was read here.
type causeSource struct {
	api.CauseInfo
	Source string `json:"source,omitempty"`
}

func findCauses(ctx context.Context, client *api.Client) ([]causeSource, error) {
	list, err := client.ListCauses(ctx)
	out := make([]causeSource, 0, len(list.Causes))
	for _, c := range list.Causes {
		out = append(out, causeSource{CauseInfo: c})
	}
	return out, err
}

func localCauses(dirs []string) ([]causeSource, error) {
	probes, err := builtinProbes()
	if err != nil {
		return nil, err
	}
	cat, err := localCatalogue(dirs, nil, probes)
	if err != nil {
		return nil, err
	}
	var out []causeSource
	for _, c := range cat.Causes.All() {
		out = append(out, causeSource{api.CauseInfo{
			ID: c.ID, Title: c.Title, Kind: string(c.Entity), Alerts: c.Symptoms.Alerts, Symptom: c.Symptoms.Holds, Explains: c.Explains,
			Cures: c.Cures, Never: c.Never, Forbids: c.Forbids, Prevent: c.Prevent, Sources: c.Sources, File: c.File, Digest: c.Digest,
		}, string(c.Source)})
	}
	return out, nil
}

func causeList(env *environment, conn *connection) *cobra.Command {
	var l localFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List causes with what cures them", Args: exactly(0),
		Example: `  secondline cause list --local`,
	}
	out := addOutput(cmd)
	l.add(cmd, "causes")
	cmd.RunE = eitherWay(conn, &l, localCauses, findCauses, func(list []causeSource, _ []string) error {
		infos := api.CauseList{Causes: []api.CauseInfo{}}
		for _, c := range list {
			infos.Causes = append(infos.Causes, c.CauseInfo)
		}
		return out.write(env.stdout, infos, func(w io.Writer) {
			rows := [][]string{{"ID", "ON A", "CURED BY", "TITLE"}}
			for _, c := range infos.Causes {
				rows = append(rows, []string{c.ID, c.Kind, orDash(strings.Join(c.Cures, ",")), c.Title})
			}
			columns(w, rows)
		})
	})
	return cmd
}

func causeShow(env *environment, conn *connection) *cobra.Command {
	var l localFlags
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a cause: what it looks like, what it explains, what cures it", Args: exactly(1),
		Example: `  secondline cause show disk-full-logs --local    # with its evidence`,
		ValidArgsFunction: conn.complete(func(ctx context.Context, client *api.Client) ([]string, error) {
			list, err := client.ListCauses(ctx)
			var words []string
			for _, c := range list.Causes {
				words = append(words, c.ID+"\t"+c.Title)
			}
			return words, err
		}),
	}
	out := addOutput(cmd)
	l.add(cmd, "causes")
	cmd.RunE = eitherWay(conn, &l, localCauses, findCauses, func(list []causeSource, args []string) error {
		for _, c := range list {
			if c.ID == args[0] {
				return out.write(env.stdout, c, func(w io.Writer) { showCause(w, env.paints(w), c) })
			}
		}
		var known []string
		for _, c := range list {
			known = append(known, c.ID)
		}
		return notThere("cause", args[0], known)
	})
	return cmd
}

func showCause(w io.Writer, p paint, c causeSource) {
	fmt.Fprintln(w, p.as(bold, oneLine(c.ID+": "+c.Title)))
	for _, row := range []struct {
		name string
		list []string
	}{
		{"on a", []string{c.Kind}},
		{"alerts", c.Alerts},
		{"symptom", []string{orDash(c.Symptom)}},
		{"explains", c.Explains},
		{"cured by", c.Cures},
		{"never", c.Never},
		{"forbids", c.Forbids},
		{"prevent", c.Prevent},
		{"sources", c.Sources},
		{"file", []string{c.File + ", " + c.Digest}},
	} {
		for _, text := range row.list {
			say(w, "  %-9s %s", row.name, text)
			row.name = ""
		}
	}
	if c.Source == "" {
		return
	}
	say(w, "")
	for line := range strings.Lines(c.Source) {
		say(w, "%s", strings.TrimSuffix(line, "\n"))
	}
}

func causeLint(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lint FILE|FOLDER…", Short: "Check cause files; every mistake with its place", Args: atLeastOne(),
		Example: `  secondline cause lint my-causes`,
	}
	out, flags := addOutput(cmd), addLintFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		probes, err := flags.probes(cmd, env)
		if err != nil {
			return err
		}
		files, err := filesToLint(args, topFiles)
		if err != nil {
			return err
		}
		shipped, err := diagnostics.LoadCatalogue(causes.FS(), probes)
		if err != nil {
			return err
		}
		taken := newNames(env, "cause")
		for _, c := range shipped.All() {
			taken.ships(c.ID, c.File, c.Source)
		}
		return lint(env, out, files, func(file string, data []byte) error {
			cause, err := diagnostics.ParseCause(file, data, probes)
			if err != nil {
				return err
			}
			return taken.add(cause.ID, file, data)
		})
	}
	return cmd
}

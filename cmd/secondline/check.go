package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/schedule"
	"github.com/secondline-ops/secondline/diagnostics"
)

func checkCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "check", Short: "See the scheduled health checks, and check their files"}
	conn := addConnection(env, cmd)
	return group(cmd, checkList(env, conn), checkLint(env))
}

func checkList(env *environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List health checks: how they went last, when they are due", Args: exactly(0),
		Example: `  secondline check list -o json`,
	}
	out := addOutput(cmd)
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, _ []string) error {
		list, err := client.ListChecks(ctx)
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) {
			rows := [][]string{{"CHECK", "TARGET", "HOLDS", "LAST", "DUE", "SAID"}}
			for _, c := range list.Checks {
				rows = append(rows, []string{c.Name, c.Target, holdsWords(c.Holds), clock(c.LastAt), clock(c.DueAt), orDash(c.Text)})
			}
			columns(w, rows)
		})
	})
	return cmd
}

func holdsWords(holds string) string {
	switch holds {
	case "true":
		return "yes"
	case "false":
		return "NO"
	case "":
		return "never ran"
	}
	return "cannot tell"
}

func checkLint(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lint FILE|FOLDER…", Short: "Check health check files; every mistake with its place", Args: atLeastOne(),
		Example: `  secondline check lint my-checks`,
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
		return lint(env, out, files, func(file string, data []byte) error {
			check, err := diagnostics.ParseCheck(file, data, probes)
			if err != nil {
				return err
			}
			if _, err := schedule.Parse(check.Schedule); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			return nil
		})
	}
	return cmd
}

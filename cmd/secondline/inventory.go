package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

func inventoryCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "inventory", Short: "See what there is, what hangs on what; check an inventory file",
		Example: `  secondline inventory
  secondline inventory show db1
  secondline inventory lint inventory.yaml`,
	}
	conn := addConnection(env, cmd)
	list := inventoryList(env, conn)
	group(cmd, list, inventoryShow(env, conn), inventoryLint(env))
	// Without a word, it lists.
	out := addOutput(cmd)
	refuse := cmd.RunE
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return refuse(c, args)
		}
		return listEntities(env, conn, out)(c, args)
	}
	return cmd
}

func inventoryList(env *environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all entities", Args: exactly(0), Example: `  secondline inventory list -o json`}
	cmd.RunE = listEntities(env, conn, addOutput(cmd))
	return cmd
}

func listEntities(env *environment, conn *connection, out *format) func(*cobra.Command, []string) error {
	return conn.askBriefly(func(ctx context.Context, client *api.Client, _ []string) error {
		list, err := client.ListEntities(ctx)
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) {
			if len(list.Entities) == 0 {
				say(w, "the inventory is empty; give the controller one with --inventory")
				return
			}
			rows := [][]string{{"ID", "KIND", "ADDRESS", "RUNS ON", "DEPENDS ON", "GROUPS"}}
			for _, e := range list.Entities {
				rows = append(rows, []string{
					e.ID, string(e.Kind), orDash(e.Address), orDash(strings.Join(e.RunsOn, ",")), orDash(strings.Join(e.DependsOn, ",")),
					orDash(strings.Join(e.Groups, ",")),
				})
			}
			columns(w, rows)
		})
	})
}

func inventoryShow(env *environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show an entity, and what hangs on it", Args: exactly(1), Example: `  secondline inventory show db1 -o yaml`,
		ValidArgsFunction: conn.completeHosts(),
	}
	out := addOutput(cmd)
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		list, err := client.ListEntities(ctx)
		if err != nil {
			return err
		}
		for _, e := range list.Entities {
			if e.ID == args[0] {
				return out.write(env.stdout, e, func(w io.Writer) { showEntity(w, e, list.Entities) })
			}
		}
		return fault.New(fault.NotFound, "there is no entity %q", args[0]).WithHint("secondline inventory")
	})
	return cmd
}

func showEntity(w io.Writer, e entity.Entity, all []entity.Entity) {
	say(w, "%s (%s)", e.ID, e.Kind)
	rows := [][]string{
		{"  address", orDash(e.Address)},
		{"  reached via", strings.TrimSpace(e.Via + " " + e.Agent)},
		{"  unit", orDash(e.Unit)},
		{"  runs on", orDash(strings.Join(e.RunsOn, ", "))},
		{"  depends on", orDash(strings.Join(e.DependsOn, ", "))},
		{"  groups", orDash(strings.Join(e.Groups, ", "))},
		{"  aliases", orDash(strings.Join(e.Aliases, ", "))},
		{"  labels", orDash(pairText(e.Labels))},
		{"  criticality", orDash(e.Criticality)},
	}
	for _, b := range e.Budgets {
		rows = append(rows, []string{"  budget", b.Path + " at most " + expr.ByteText(b.Bytes) + ", may delete " + strings.Join(b.Delete, " ")})
	}
	for _, p := range e.Processes {
		rows = append(rows, []string{"  process", p.Name + ": " + strings.Join(p.Start, " ")})
	}
	rows = append(rows, selfServiceRows(e.SelfService)...)
	for _, other := range all {
		if slices.Contains(append(append([]string{}, other.RunsOn...), other.DependsOn...), e.ID) {
			rows = append(rows, []string{"  needed by", other.ID})
		}
	}
	columns(w, rows)
}

// selfServiceRows are what people may ask for.
func selfServiceRows(s entity.SelfService) [][]string {
	var rows [][]string
	add := func(what string, words ...string) {
		if len(words) > 0 && words[0] != "" {
			rows = append(rows, []string{"  self-service", what + " " + strings.Join(words, ", ")})
		}
	}
	add("restarts", s.Units...)
	add("packages", s.Packages...)
	for _, a := range s.Accounts {
		add("account", a.Name)
	}
	for _, c := range s.Certificates {
		add("certificate", c.Path)
	}
	for _, q := range s.Quotas {
		add("quota", q.Path+" up to "+expr.ByteText(q.Max))
	}
	add("maintenance", s.Maintenance)
	return rows
}

func inventoryLint(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lint FILE…", Short: "Check inventory files; every mistake with its place", Args: atLeastOne(), Example: `  secondline inventory lint inventory.yaml`,
	}
	out := addOutput(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return lint(env, out, args, func(file string, data []byte) error {
			_, err := inventory.Parse(file, data)
			return err
		})
	}
	return cmd
}

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
)

func agentsCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "agents", Short: "See, enrol and shut out agents"}
	conn := addConnection(env, cmd)
	return group(cmd, agentsList(env, conn), agentsEnrolToken(env, conn), agentsRevoke(env, conn))
}

func agentsList(env *environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List agents: connected or not, in which mode", Args: exactly(0),
		Example: `  secondline agents list -o json`,
	}
	out := addOutput(cmd)
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, _ []string) error {
		list, err := client.ListAgents(ctx)
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) { showAgents(w, list, time.Now()) })
	})
	return cmd
}

func showAgents(w io.Writer, list api.AgentList, now time.Time) {
	if len(list.Agents) == 0 {
		say(w, "no agents; put one onto a host: secondline agent install --ssh HOST")
		return
	}
	rows := [][]string{{"AGENT", "HOST", "STATE", "MODE", "VERSION", "SEEN"}}
	for _, a := range list.Agents {
		state := "away"
		switch {
		case !a.RevokedAt.IsZero():
			state = "revoked"
		case a.Connected:
			state = "connected"
		}
		rows = append(rows, []string{a.ID, orDash(a.Host), state, orDash(a.Mode), orDash(a.Version), ago(a.SeenAt, now)})
	}
	columns(w, rows)
}

func agentsEnrolToken(env *environment, conn *connection) *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "enroll-token [NAME]", Aliases: []string{"enrol-token"}, Short: "Make a one-time token with which an agent joins", Args: atMostOne(),
		Long: `The token is shown once and stored only as a hash. With NAME only an agent of that name can use it; NAME is the id of its
host in the inventory.`,
		Example: `  secondline agents enroll-token web1 --ttl 15m > join-token
  secondline agent enroll --controller ctl.example:7421 --token-file join-token    # on web1`,
	}
	out := addOutput(cmd)
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long it waits for its use, at most 168h")
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		token, err := client.EnrolToken(ctx, api.EnrolRequest{Agent: strings.Join(args, ""), TTLSeconds: int(ttl / time.Second)})
		if err != nil {
			return err
		}
		// Only the token goes to standard output, so that it can go into a file.
		return out.write(env.stdout, token, func(w io.Writer) {
			say(w, "%s", token.Token)
			fmt.Fprintf(env.stderr, "it works once, until %s\n", clock(token.ExpiresAt))
		})
	})
	return cmd
}

func agentsRevoke(env *environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: "Shut an agent out at once; it needs a new token to come back", Args: exactly(1),
		Example: `  secondline agents revoke web1`,
		ValidArgsFunction: conn.complete(func(ctx context.Context, client *api.Client) ([]string, error) {
			list, err := client.ListAgents(ctx)
			var words []string
			for _, a := range list.Agents {
				words = append(words, a.ID)
			}
			return words, err
		}),
	}
	out := addOutput(cmd)
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		list, err := client.RevokeAgent(ctx, args[0])
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) { say(w, "revoked %s", args[0]) })
	})
	return cmd
}

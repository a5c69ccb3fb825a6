package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
)

func tokenCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make, see and revoke API tokens (for admins)"}
	conn := addConnection(env, cmd)
	return group(cmd, tokenCreate(env, conn), tokenList(env, conn), tokenRevoke(env, conn))
}

func tokenCreate(env *environment, conn *connection) *cobra.Command {
	var req api.TokenRequest
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "create --name NAME --role ROLE", Short: "Make an API token; it is shown once", Args: exactly(0),
		Long: `Roles: viewer looks; operator also works on incidents and approves runs; engineer also approves what cannot be undone; admin
also enrols agents and makes tokens; webhook only hands in signals.`,
		Example: `  secondline token create --name alertmanager --role webhook --source alertmanager > token
  secondline token create --name alice --role operator --ttl 720h`,
	}
	out := addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&req.Name, "name", "", "who it stands for; this is what timelines say")
	f.StringVar(&req.Role, "role", "", "viewer, operator, engineer, admin or webhook")
	f.StringVar(&req.Source, "source", "", "for role webhook: the only source that it may hand in for")
	f.DurationVar(&ttl, "ttl", 0, "how long it counts (720h is 30 days); it does not expire when not given")
	for _, name := range []string{"name", "role"} {
		_ = cmd.MarkFlagRequired(name)
	}
	var roles []string
	for _, r := range []access.Role{access.Viewer, access.Operator, access.Engineer, access.Admin, access.Webhook} {
		roles = append(roles, string(r))
	}
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roles, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, _ []string) error {
		req.TTLSeconds = int64(ttl / time.Second)
		made, err := client.CreateToken(ctx, req)
		if err != nil {
			return err
		}
		// Only the secret goes to standard output, so that it can go into a file.
		return out.write(env.stdout, made, func(w io.Writer) {
			say(w, "%s", made.Secret)
			fmt.Fprintf(env.stderr, "token %s of %s (%s) is shown only now\n", made.ID, oneLine(made.Name), made.Role)
		})
	})
	return cmd
}

func tokenList(env *environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List API tokens, also those that count no more", Args: exactly(0), Example: `  secondline token list`,
	}
	out := addOutput(cmd)
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, _ []string) error {
		list, err := client.ListTokens(ctx)
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) {
			rows := [][]string{{"ID", "NAME", "ROLE", "SOURCE", "MADE", "EXPIRES", "REVOKED"}}
			for _, t := range list.Tokens {
				rows = append(rows, []string{t.ID, t.Name, t.Role, orDash(t.Source), clock(t.CreatedAt), clock(t.ExpiresAt), clock(t.RevokedAt)})
			}
			columns(w, rows)
		})
	})
	return cmd
}

func tokenRevoke(env *environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID|NAME", Short: "End an API token, and the browser sessions made of it", Args: exactly(1),
		Example: `  secondline token revoke alice`,
	}
	out := addOutput(cmd)
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		t, err := client.RevokeToken(ctx, args[0])
		if err != nil {
			return err
		}
		return out.write(env.stdout, t, func(w io.Writer) { say(w, "revoked %s of %s", t.ID, t.Name) })
	})
	return cmd
}

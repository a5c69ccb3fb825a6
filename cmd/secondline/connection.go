package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

const (
	defaultURL = "http://127.0.0.1:7420"
	// answerWithin is longer than the server's own bound, so that the server
	// gets to say what took so long.
	answerWithin = 45 * time.Second
	// completeWithin keeps the shell usable when the controller is away.
	completeWithin = 2 * time.Second
)

// connection is how a command reaches the controller.
type connection struct {
	env                   *environment
	url, token, tokenFile string
}

// addConnection gives the command and those below it the flags that say which
// controller is meant and who asks.
func addConnection(env *environment, cmd *cobra.Command) *connection {
	c := &connection{env: env}
	f := cmd.PersistentFlags()
	f.StringVar(&c.url, "url", "", "the controller (SECONDLINE_URL; "+defaultURL+" when neither is given)")
	f.StringVar(&c.token, "token", "", "API token (SECONDLINE_TOKEN; other users see a flag in the process list)")
	f.StringVar(&c.tokenFile, "token-file", "", "file with the API token (SECONDLINE_TOKEN_FILE; else the admin token of a controller of this user)")
	return c
}

func (c *connection) address() string {
	switch fromEnv := c.env.getenv("SECONDLINE_URL"); { // completion does not turn the environment into flags
	case c.url != "":
		return c.url
	case fromEnv != "":
		return fromEnv
	}
	return defaultURL
}

func (c *connection) defaultTokenFile() string {
	return filepath.Join(c.env.stateDir(), "controller", "admin-token")
}

// secret returns the token. What the command line says wins over the
// environment, and both over the file of this user's own controller.
func (c *connection) secret() (redact.Secret, error) {
	envToken, envFile := c.env.getenv("SECONDLINE_TOKEN"), c.env.getenv("SECONDLINE_TOKEN_FILE")
	switch {
	case c.token != "" && c.token != envToken:
		return redact.Secret(strings.TrimSpace(c.token)), nil
	case c.tokenFile != "" && c.tokenFile != envFile:
		return readToken(c.tokenFile)
	case envToken != "":
		return redact.Secret(strings.TrimSpace(envToken)), nil
	case envFile != "":
		return readToken(envFile)
	}
	path := c.defaultTokenFile()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fault.New(fault.Unauthenticated, "no API token was given, and this user runs no controller (there is no %s)", path).
			WithHint("set SECONDLINE_TOKEN or --token-file; or start a controller, which writes one: secondline controller")
	}
	return readToken(path)
}

func readToken(path string) (redact.Secret, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fault.Wrap(fault.Unauthenticated, err, "read the API token").WithHint("name a readable file with --token-file")
	}
	return redact.Secret(strings.TrimSpace(string(data))), nil
}

func (c *connection) client() (*api.Client, error) {
	base := c.address()
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, usageError{fault.New(fault.Invalid, "%q is not the address of a controller", base).WithHint("such as %s", defaultURL)}
	}
	token, err := c.secret()
	if err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		fmt.Fprintf(c.env.stderr, "warning: the token travels unencrypted to %s; use https\n", clean(u.Host))
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return api.NewClient(base, token, nil), nil
	}
	t := transport.Clone()
	t.ResponseHeaderTimeout = answerWithin
	return api.NewClient(base, token, &http.Client{Transport: t}), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// asking is one command that talks to the controller.
type asking func(ctx context.Context, client *api.Client, args []string) error

// ask runs the command with a client and says what to do about an error.
func (c *connection) ask(do asking) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		return c.advise(do(cmd.Context(), client, args))
	}
}

// askBriefly is ask for commands that follow nothing: they end in time.
func (c *connection) askBriefly(do asking) func(*cobra.Command, []string) error {
	return c.ask(func(ctx context.Context, client *api.Client, args []string) error {
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		defer cancel()
		return do(ctx, client, args)
	})
}

// advise adds what only the command line knows to an error.
func (c *connection) advise(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return err
	}
	switch f.Kind {
	case fault.Unreachable:
		return fault.Wrap(f.Kind, f.Err, "%s", f.Message).
			WithHint("start one here with \"secondline controller\", or name another with --url or SECONDLINE_URL; \"secondline doctor\" looks further")
	case fault.Unauthenticated:
		return fault.Wrap(f.Kind, f.Err, "%s", f.Message).
			WithHint("set SECONDLINE_TOKEN or --token-file; a controller's first token is in admin-token in its data folder")
	case fault.Denied:
		if f.Hint == "" {
			return f.WithHint("ask an admin for a token with that role: secondline token create --help")
		}
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.TooLarge, fault.Overloaded, fault.Timeout, fault.OutcomeUnknown,
		fault.Transient, fault.Internal:
	}
	return err
}

// complete offers words from the controller; without one it offers none.
func (c *connection) complete(list func(ctx context.Context, client *api.Client) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		client, err := c.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		words, err := list(ctx, client)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for i := range words {
			words[i] = oneLine(words[i])
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *connection) completeIncidents() cobra.CompletionFunc {
	return c.complete(func(ctx context.Context, client *api.Client) ([]string, error) {
		list, err := client.ListIncidents(ctx, api.IncidentQuery{Limit: 50})
		var words []string
		for _, in := range list.Incidents {
			words = append(words, fmt.Sprintf("%d\t%s, %s", in.Number, in.Status, in.Title))
		}
		return words, err
	})
}

func (c *connection) completeRunbooks() cobra.CompletionFunc {
	return c.complete(func(ctx context.Context, client *api.Client) ([]string, error) {
		list, err := client.ListRunbooks(ctx)
		var words []string
		for _, r := range list.Runbooks {
			words = append(words, r.Name+"\t"+r.Title)
		}
		return words, err
	})
}

func (c *connection) completeRuns(status string) cobra.CompletionFunc {
	return c.complete(func(ctx context.Context, client *api.Client) ([]string, error) {
		list, err := client.ListRuns(ctx, api.RunQuery{Status: status, Limit: 50})
		var words []string
		for _, r := range list.Runs {
			words = append(words, fmt.Sprintf("%s\t%s on %s, %s", r.ID, r.Runbook, r.Target, r.Status))
		}
		return words, err
	})
}

func (c *connection) completeHosts() cobra.CompletionFunc {
	complete := c.complete(func(ctx context.Context, client *api.Client) ([]string, error) {
		list, err := client.ListEntities(ctx)
		var words []string
		for _, e := range list.Entities {
			if e.Kind == "host" {
				words = append(words, e.ID)
			}
		}
		return words, err
	})
	// A flag's value is completed whatever arguments came before it.
	return func(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return complete(cmd, nil, word)
	}
}

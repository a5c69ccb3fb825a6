package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/intake/sources"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/postgres"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

func controllerCommand(env *environment) *cobra.Command {
	c := defaultConfig(env)
	var file, storeDSN string
	var checkOnly bool
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Take alerts, decide, send work to agents, show the web page",
		Long: `Runs the controller until it is told to stop (SIGTERM drains, SIGHUP reads the files again).

Without any file it runs on this machine: people on 127.0.0.1:7420, agents on :7421, data in the user's state folder. The
first start writes an admin token to admin-token (mode 0600) and a webhook token to webhook-token in the data folder.`,
		Example: `  secondline controller
  secondline controller --config /etc/secondline/controller.yaml
  secondline controller --check-config --config controller.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf := c
			if file != "" {
				fromFile, err := readConfig(file, defaultConfig(env))
				if err != nil {
					return err
				}
				conf = override(cmd, fromFile, c)
			}
			if storeDSN != "" {
				conf.Store = storeDSN
			}
			if checkOnly {
				return checkConfig(env, conf)
			}
			return runController(cmd.Context(), env, conf, func() (controllerConfig, error) {
				if file == "" {
					return conf, nil
				}
				again, err := readConfig(file, defaultConfig(env))
				return override(cmd, again, c), err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "configuration file (YAML)")
	f.BoolVar(&checkOnly, "check-config", false, "read every file, report every mistake, start nothing")
	f.StringVar(&c.Listen, "listen", c.Listen, "address for people, webhooks and the API")
	f.StringVar(&c.AgentListen, "agent-listen", c.AgentListen, "address for agents (mutual TLS)")
	f.StringVar(&c.BaseURL, "base-url", "", "how people reach this controller, for links in messages")
	f.StringVar(&c.DataDir, "data-dir", c.DataDir, "where the store, keys and bundles are kept")
	f.StringVar(&storeDSN, "store", "", "postgres://… for PostgreSQL; empty for SQLite in the data folder")
	f.StringVar(&c.Inventory, "inventory", "", "inventory file (YAML)")
	f.StringSliceVar(&c.Causes, "causes", nil, "folder with causes of your own; may be given several times")
	f.StringSliceVar(&c.Runbooks, "runbooks", nil, "folder with runbooks of your own; may be given several times")
	f.StringSliceVar(&c.Checks, "checks", nil, "folder with health checks; may be given several times")
	pluginFlag(cmd, &c.Plugins)
	f.Var((*prometheusURLs)(&c.Prometheus), "prometheus", "URL of a Prometheus that evaluates the alerts; may be given several times")
	f.StringVar(&c.Policy.Level, "policy-level", "", "how far runbooks may go by themselves: observe, suggest or approve (default); auto needs a grant in the file")
	retentionFlags(f, &c.Retention)
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	return cmd
}

// override lets flags (and the environment, which sets flags) win over the file.
func override(cmd *cobra.Command, file, flags controllerConfig) controllerConfig {
	set := func(name string, apply func()) {
		if cmd.Flags().Changed(name) {
			apply()
		}
	}
	set("listen", func() { file.Listen = flags.Listen })
	set("agent-listen", func() { file.AgentListen = flags.AgentListen })
	set("base-url", func() { file.BaseURL = flags.BaseURL })
	set("data-dir", func() { file.DataDir = flags.DataDir })
	set("inventory", func() { file.Inventory = flags.Inventory })
	set("causes", func() { file.Causes = flags.Causes })
	set("runbooks", func() { file.Runbooks = flags.Runbooks })
	set("checks", func() { file.Checks = flags.Checks })
	set("plugin", func() { file.Plugins = flags.Plugins })
	set("prometheus", func() { file.Prometheus = flags.Prometheus })
	set("policy-level", func() { file.Policy.Level = flags.Policy.Level })
	set("retention-bodies", func() { file.Retention.Bodies = flags.Retention.Bodies })
	set("retention-incidents", func() { file.Retention.Incidents = flags.Retention.Incidents })
	set("retention-bundles", func() { file.Retention.Bundles = flags.Retention.Bundles })
	set("log-level", func() { file.LogLevel = flags.LogLevel })
	return file
}

func retentionFlags(f *pflag.FlagSet, r *retentionConfig) {
	f.Var((*lengthOfTime)(&r.Bodies), "retention-bodies", "how long raw bodies of signals are kept, such as 30d or 12h")
	f.Var((*lengthOfTime)(&r.Incidents), "retention-incidents", "how long incidents are kept after they ended, with their events and readings")
	f.Var((*lengthOfTime)(&r.Bundles), "retention-bundles", "how long bundles are kept, unless their incident is open")
}

// lengthOfTime is a flag for a duration that may be in days, as in the file.
type lengthOfTime time.Duration

var _ pflag.Value = (*lengthOfTime)(nil)

func (l *lengthOfTime) String() string { return yamlx.FormatDuration(time.Duration(*l)) }

func (l *lengthOfTime) Type() string { return "duration" }

func (l *lengthOfTime) Set(text string) error {
	d, err := yamlx.ParseDuration(text)
	*l = lengthOfTime(d)
	return err
}

func checkConfig(env *environment, c controllerConfig) error {
	probes, err := declaredProbes(c.Plugins)
	if err != nil {
		return err
	}
	s, err := c.settings(probes)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "configuration is good: %d entities, %d causes, %d runbooks, %d checks, %d channels\n",
		s.Inventory.Len(), len(s.Catalogue.Causes.All()), len(s.Catalogue.Runbooks.All()), len(s.Checks), len(s.Channels))
	if s.Pinned != nil {
		say(env.stdout, "the pinned commit is %s, of %s", s.Pinned.Commit, s.Pinned.URL)
	} else if c.Catalogue.Git.URL != "" {
		fmt.Fprintln(env.stdout, "no commit of catalogue.git is pinned yet (secondline catalogue pull): nothing is taken from there")
	}
	if len(s.Channels) == 0 {
		fmt.Fprintln(env.stdout, "no channel to people is configured (notify:): nobody will be called")
	}
	return nil
}

// builtinProbes are all that this program brings, those of plugins in this
// process: for what is shown and loaded, and for the demo, which trusts itself.
func builtinProbes() (*diagnostics.ProbeSet, error) { return declaredProbes(bundledPlugins()) }

func runController(ctx context.Context, env *environment, c controllerConfig, reread func() (controllerConfig, error)) error {
	logger := env.logger(c.LogLevel)
	db, err := openStore(ctx, c, logger)
	if err != nil {
		return err
	}
	app, err := newController(ctx, c, db, reread, logger)
	if err != nil {
		_ = db.Close()
		return err
	}
	if err := firstTokens(ctx, env, c.DataDir, db); err != nil {
		_ = db.Close()
		return err
	}
	if err := app.Start(ctx); err != nil {
		_ = db.Close()
		return err
	}
	fmt.Fprintf(env.stderr, "people: http://%s   agents: %s   token: %s\n", app.Addr(), app.AgentAddr(), filepath.Join(c.DataDir, "admin-token"))
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-hup:
			if err := app.Reload(ctx); err != nil {
				logger.ErrorContext(ctx, "settings were not changed: a file has mistakes", slog.Any("reason", err))
			}
		case <-ctx.Done():
			logger.InfoContext(ctx, "stopping")
			err := app.Stop(context.WithoutCancel(ctx))
			if cerr := db.Close(); err == nil {
				err = cerr
			}
			return err
		}
	}
}

func newController(ctx context.Context, c controllerConfig, db store.Store, reread func() (controllerConfig, error), logger *slog.Logger) (*controller.App, error) {
	return controller.New(ctx, controller.Options{
		Listen: c.Listen, AgentListen: c.AgentListen,
		DataDir: c.DataDir, BaseURL: baseURL(c), Store: db, Sources: sources.All(),
		Load: func() (controller.Settings, error) {
			now, err := reread()
			if err != nil {
				return controller.Settings{}, err
			}
			probes, err := declaredProbes(now.Plugins)
			if err != nil {
				return controller.Settings{}, err
			}
			s, err := now.settings(probes)
			if err == nil && s.Pinned == nil && now.Catalogue.Git.URL != "" {
				logger.WarnContext(ctx, "no commit of the catalogue is pinned yet; nothing is taken from there")
			}
			return s, err
		},
		Now: time.Now, Rand: rand.Reader, Version: version, Logger: logger,
	})
}

func baseURL(c controllerConfig) string {
	if c.BaseURL != "" {
		return strings.TrimSuffix(c.BaseURL, "/")
	}
	return "http://" + c.Listen
}

func openStore(ctx context.Context, c controllerConfig, logger *slog.Logger) (store.Store, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "make data folder").WithHint("choose another with --data-dir")
	}
	if strings.HasPrefix(c.Store, "postgres://") || strings.HasPrefix(c.Store, "postgresql://") {
		return postgres.Open(ctx, c.Store, postgres.Options{Logger: logger})
	}
	if c.Store != "" {
		return nil, fault.New(fault.Invalid, "store %q is not a postgres:// address", c.Store).WithHint("leave it empty for SQLite in the data folder")
	}
	return sqlite.Open(ctx, filepath.Join(c.DataDir, "secondline.db"), sqlite.Options{Logger: logger})
}

// firstTokens writes an admin and a webhook token when the store has none yet.
func firstTokens(ctx context.Context, env *environment, dir string, db store.Store) error {
	have, err := db.ListTokens(ctx)
	if err != nil || len(have) > 0 {
		return err
	}
	for _, t := range []struct {
		file, name string
		role       access.Role
	}{{"admin-token", "admin", access.Admin}, {"webhook-token", "webhook", access.Webhook}} {
		plain, hash, err := access.MakeToken(rand.Reader)
		if err != nil {
			return err
		}
		if err := job.WriteSecret(filepath.Join(dir, t.file), []byte(plain.Reveal()+"\n")); err != nil {
			return fmt.Errorf("write %s: %w", t.file, err)
		}
		if err := db.SaveToken(ctx, store.Token{Hash: hash, Name: t.name, Role: string(t.role), CreatedAt: time.Now()}); err != nil {
			return err
		}
		fmt.Fprintf(env.stderr, "wrote a token for %s: %s\n", t.name, filepath.Join(dir, t.file))
	}
	return nil
}

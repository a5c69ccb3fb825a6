package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/secondline-ops/secondline/agent"
	"github.com/secondline-ops/secondline/agent/credentials"
	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/linux"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/plugins/bundled"
	"github.com/secondline-ops/secondline/plugins/host"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

// agentConfig is what an agent is started with.
type agentConfig struct {
	Controllers []string
	State       string
	Guard       string
	Secrets     string // "" is the usual place
	KnownHosts  []string
	SSHConfig   string
	Identities  []string
	LogLevel    string
	Plugins     []string
	PluginFile  string
}

func agentCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Work on servers for a controller: here, and over SSH",
		Long: `An agent dials out to its controller; nothing listens on the managed server. It observes until its guard file on this
host says "mode: act". Enrol it once, then run it; "install" and "remove" do both over SSH.`,
		Example: `  secondline agent enroll --controller ctl.example:7421 --token-file join-token
  secondline agent run --controller ctl.example:7421
  secondline agent install --ssh admin@web1 --controller ctl.example:7421`,
	}
	return group(cmd, agentEnroll(env), agentRun(env), agentInstall(env), agentRemove(env))
}

func agentStateFlag(cmd *cobra.Command, env *environment, into *string) {
	cmd.Flags().StringVar(into, "state", filepath.Join(env.stateDir(), "agent"), "folder for the agent's key, certificate and journal")
}

func agentEnroll(env *environment) *cobra.Command {
	var address, name, token, tokenFile, state string
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Exchange a one-time join token for this agent's certificate",
		Long: `Makes a key on this host, shows the join token to the controller that the token was made on, and keeps the certificate.
The token names its controller by fingerprint, so it cannot be used up by another one. The agent is called what the token was
made for; a token made without a name needs --name.`,
		Example: `  secondline agents enroll-token web1 > join-token                # with a token of the controller
  secondline agent enroll --controller ctl.example:7421 --token-file join-token
  echo TOKEN | secondline agent enroll --controller ctl.example:7421 --token-file -`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := joinTokenText(env, token, tokenFile)
			if err != nil {
				return err
			}
			return enroll(cmd.Context(), env, address, name, text, state)
		},
	}
	cmd.Flags().StringVar(&address, "controller", "127.0.0.1:7421", "the controller's address for agents")
	cmd.Flags().StringVar(&name, "name", "", "what the agent is called, the id of its host in the inventory (default: the name that the token was made for)")
	cmd.Flags().StringVar(&token, "token", "", "the join token (seen by others in the process list; prefer --token-file)")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "file with the join token, - for standard input")
	agentStateFlag(cmd, env, &state)
	return cmd
}

func joinTokenText(env *environment, token, file string) (string, error) {
	switch {
	case token != "":
		return token, nil
	case file == "-":
		line, err := bufio.NewReader(env.stdin).ReadString('\n')
		if line == "" && err != nil {
			return "", fault.Wrap(fault.Invalid, err, "read the join token from standard input")
		}
		return strings.TrimSpace(line), nil
	case file != "":
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read the join token: %w", err)
		}
		return strings.TrimSpace(string(data)), nil
	}
	return "", fault.New(fault.Invalid, "a join token is needed").WithHint("make one with \"secondline agents enroll-token NAME\", and give it with --token-file FILE")
}

func enroll(ctx context.Context, env *environment, address, name, tokenText, state string) error {
	token, err := job.ParseJoinToken(tokenText)
	if err != nil {
		return err
	}
	id, key, err := job.Enroll(ctx, job.EnrollOptions{Address: address, Token: token, Name: name, Version: version, Now: time.Now})
	if err != nil {
		return err
	}
	if err := credentials.Save(state, id, key); err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "enrolled as %s; it observes until its guard file says mode: act\n", id.Name)
	return nil
}

func agentRun(env *environment) *cobra.Command {
	c := agentConfig{LogLevel: "info"}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent until it is told to stop",
		Example: `  secondline agent run --controller ctl.example:7421
  secondline agent run --controller a:7421,b:7421 --guard /etc/secondline/guard.yaml`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runAgent(cmd.Context(), env, c) },
	}
	home := env.getenv("HOME")
	f := cmd.Flags()
	f.StringSliceVar(&c.Controllers, "controller", []string{"127.0.0.1:7421"}, "addresses of controllers, tried in turn")
	f.StringVar(&c.Guard, "guard", "/etc/secondline/guard.yaml", "this host's hard limits; without the file the agent only observes")
	secretsFlag(f, &c.Secrets)
	knownHostsFlag(f, &c.KnownHosts)
	f.StringVar(&c.SSHConfig, "ssh-config", filepath.Join(home, ".ssh", "config"), "ssh_config(5) for servers reached by SSH, of which are read: "+sshDirectives)
	f.StringSliceVar(&c.Identities, "identity", nil, "private keys for servers reached by SSH (default: those that ssh tries by itself)")
	f.StringSliceVar(&c.Plugins, "plugin", bundledPlugins(), "bundled plugins to offer")
	pluginFileFlag(f, &c.PluginFile)
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	agentStateFlag(cmd, env, &c.State)
	return cmd
}

func runAgent(ctx context.Context, env *environment, c agentConfig) error {
	logger := env.logger(c.LogLevel)
	limits, err := readGuard(c.Guard, logger)
	if err != nil {
		return err
	}
	if len(c.Identities) == 0 {
		c.Identities = usualIdentities(env)
	}
	keys, err := credentials.NewKeyring(credentials.Options{
		KnownHosts: c.KnownHosts, ConfigFile: existing(c.SSHConfig), Home: env.getenv("HOME"), Identities: c.Identities,
		AgentSocket: env.getenv("SSH_AUTH_SOCK"), User: env.getenv("USER"), Logger: logger,
	})
	if err != nil {
		return err
	}
	for _, what := range keys.Ignored() {
		logger.WarnContext(ctx, "directive of the SSH configuration is not followed", slog.String("directive", what))
	}
	for _, file := range c.Identities { // it may come later
		if existing(file) == "" {
			logger.WarnContext(ctx, "there is no such key file", slog.String("identity", file))
		}
	}
	probes, closePlugins, err := agentProbes(ctx, c, logger)
	if err != nil {
		return errors.Join(err, keys.Close())
	}
	err = startAgent(ctx, c, agent.Options{
		Limits: limits, Reach: keys, Probes: probes, Secrets: agentSecrets(env, c.Secrets), Logger: logger,
	})
	return errors.Join(err, closePlugins(), keys.Close())
}

// startAgent completes the options and runs the agent.
func startAgent(ctx context.Context, c agentConfig, o agent.Options) error {
	id, err := credentials.Load(c.State)
	if err != nil {
		return err
	}
	j, err := journal.Open(filepath.Join(c.State, "journal"), journal.Options{})
	if err != nil {
		return err
	}
	hostName, _ := os.Hostname()
	o.Identity, o.Addresses, o.Journal, o.Actions = id, c.Controllers, j, actions.All()
	o.Redactor, o.Audit, o.Renewer = redact.New(), commandLog{o.Logger}, credentials.Renewer{Dir: c.State, Now: time.Now}
	o.Now, o.Rand = time.Now, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // jitter
	o.Version, o.Host = version, hostName
	a, err := agent.New(o)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	o.Logger.InfoContext(ctx, "agent started", slog.String("agent", id.Name), slog.String("mode", string(o.Limits.Mode)), slog.String("version", version))
	return errors.Join(a.Run(ctx), j.Close())
}

// usualSecrets is where an agent looks for secrets that systemd does not give it.
const usualSecrets = "/etc/secondline/secrets"

func secretsFlag(f *pflag.FlagSet, into *string) {
	f.StringVar(into, "secrets", "", "folder of the secrets that runbooks refer to, a file each (default: $CREDENTIALS_DIRECTORY of systemd, else "+usualSecrets+")")
}

// agentSecrets are those of a folder, which may come later.
func agentSecrets(env *environment, dir string) credentials.Secrets {
	credential := env.getenv("CREDENTIALS_DIRECTORY") // systemd.exec(5), LoadCredential=
	switch {
	case dir != "":
		return credentials.Secrets{Dir: dir}
	case credential != "":
		return credentials.Secrets{Dir: credential, FromSystemd: true}
	}
	return credentials.Secrets{Dir: usualSecrets}
}

// readGuard reads the host's limits. No file is no permission: the agent then
// only observes.
func readGuard(path string, logger *slog.Logger) (guard.Limits, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		logger.Info("there is no guard file; the agent only observes", slog.String("file", path))
		return guard.Limits{Mode: guard.Observe, MaxJobs: guard.DefaultMaxJobs}, nil
	}
	if err != nil {
		return guard.Limits{}, fmt.Errorf("read guard file: %w", err)
	}
	return guard.Parse(path, data)
}

func existing(path string) string {
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// agentProbes are the built-in probes and those of the plugins. A plugin that
// cannot be used is named and left out; the agent works on.
func agentProbes(ctx context.Context, c agentConfig, logger *slog.Logger) (*diagnostics.ProbeSet, func() error, error) {
	all := linux.Probes(time.Now)
	stop := func() error { return nil }
	others, err := readPluginFile(c.PluginFile)
	if err != nil {
		return nil, stop, err
	}
	if len(c.Plugins)+len(others) > 0 {
		entries, err := bundled.Entries(c.Plugins...)
		if err != nil {
			return nil, stop, err
		}
		entries = append(entries, others...)
		dir := filepath.Join(c.State, "run")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, stop, fmt.Errorf("make plugin folder: %w", err)
		}
		h, err := host.New(host.Options{Dir: socketDir(dir), Entries: entries, Logger: logger, Now: time.Now})
		if err != nil {
			return nil, stop, err
		}
		stop = h.Close
		more, err := h.Probes(ctx)
		if err != nil {
			logger.WarnContext(ctx, "a plugin cannot be used", slog.Any("reason", err))
		}
		all = append(all, more...)
	}
	set, err := diagnostics.NewProbeSet(all)
	if err != nil {
		return nil, stop, errors.Join(err, stop())
	}
	return set, stop, nil
}

// socketDir keeps socket paths below the 108 bytes of sun_path (unix(7)).
func socketDir(dir string) string {
	if len(dir) <= 45 { // plugins/host takes 60, with the folder that it makes below
		return dir
	}
	return os.TempDir()
}

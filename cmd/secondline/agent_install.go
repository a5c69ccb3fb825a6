package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
)

// installPaths are the only places on a host that belong to an installed
// agent; remove takes away exactly these.
type installPaths struct {
	binary, config, state, unit string
	root                        bool
}

func (p installPaths) guard() string { return path.Join(p.config, "guard.yaml") }

// pathsFor returns where an agent lives: system-wide for root, else below the
// user's home.
func pathsFor(uid, home string) installPaths {
	if uid == "0" {
		return installPaths{
			binary: "/usr/local/bin/secondline", config: "/etc/secondline", state: "/var/lib/secondline-agent",
			unit: "/etc/systemd/system/secondline-agent.service", root: true,
		}
	}
	return installPaths{
		binary: path.Join(home, ".local/lib/secondline-agent/secondline"), config: path.Join(home, ".local/lib/secondline-agent"),
		state: path.Join(home, ".local/lib/secondline-agent/state"), unit: "",
	}
}

func agentInstall(env *environment) *cobra.Command {
	var in installation
	cmd := &cobra.Command{
		Use:   "install --ssh [user@]host",
		Short: "Put an agent onto a host over SSH and enrol it, observing only",
		Long: `Copies this binary to the host, enrols it with a one-time token made on the controller, and starts it: as a systemd
service when logging in as root, else in the user's own folder, and waits until it is connected. The agent observes; it acts only after "mode: act" stands in
the guard file on that host. Installing again updates the binary and restarts the agent with what the guard file says now.
"secondline agent remove --ssh host" takes everything away again.`,
		Example: `  secondline agent install --ssh root@web1 --controller ctl.example:7421
  secondline agent install --ssh ops@web2 --name web2 --controller ctl.example:7421`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return install(cmd.Context(), env, in)
		},
	}
	cmd.Flags().StringVar(&in.at.target, "ssh", "", "the host, as ssh takes it: [user@]host")
	cmd.Flags().StringVar(&in.controllers, "controller", "", "the controller's address for agents, as the host reaches it (default: the host of --url, port 7421)")
	cmd.Flags().StringVar(&in.name, "name", "", "what the agent is called (default: the host's name here)")
	_ = cmd.MarkFlagRequired("ssh")
	in.c = addConnection(env, cmd)
	in.at.addFlags(env, cmd)
	return cmd
}

// installation is one install or removal.
type installation struct {
	c                 *connection
	at                reachOptions
	controllers, name string
}

func (in *installation) open(ctx context.Context, env *environment) (*installHost, error) {
	if err := in.at.complete(); err != nil {
		return nil, err
	}
	r, done, err := in.at.openFor(ctx, env, entity.Entity{ID: in.at.name()}, remote.Options{Gate: remote.AllowAll(), Redactor: redact.New()})
	if err != nil {
		return nil, err
	}
	h := &installHost{Runner: r, close: done}
	res, err := h.sh(ctx, remote.Read, nil, `id -u; printf '%s\n' "$HOME"; uname -m; [ -d /run/systemd/system ] && echo systemd || echo none`)
	if err != nil {
		done()
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(res.Stdout)), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], "/") {
		done()
		return nil, fault.New(fault.Internal, "%s gave no answer that could be understood", in.at.target)
	}
	h.paths = pathsFor(lines[0], lines[1])
	if h.paths.root && lines[3] != "systemd" {
		h.paths.unit = ""
	}
	if res, err = h.sh(ctx, remote.Read, nil, `if [ -e "$1" ] || [ -e "$2" ]; then echo there; fi`, h.paths.binary, h.paths.state); err != nil {
		done()
		return nil, err
	}
	h.fresh = len(res.Stdout) == 0
	return h, nil
}

func install(ctx context.Context, env *environment, in installation) error {
	client, err := in.c.client()
	if err != nil {
		return err
	}
	controllers := in.controllers
	if controllers == "" {
		u, err := url.Parse(in.c.address())
		if err != nil || u.Hostname() == "" {
			return fault.New(fault.Invalid, "the controller's address for agents is not known").WithHint("give it with --controller HOST:7421")
		}
		controllers = u.Hostname() + ":7421"
	}
	h, err := in.open(ctx, env)
	if err != nil {
		return err
	}
	defer h.close()
	name := firstWord(in.name, in.at.name())
	kept, err := h.checkGuard(ctx)
	if err != nil {
		fmt.Fprintf(env.stderr, "the guard file of %s cannot be used; nothing was done there\n", clean(in.at.target))
		return err
	}
	fmt.Fprintf(env.stderr, "copying the binary to %s:%s\n", clean(in.at.target), h.paths.binary)
	if err := h.copyBinary(ctx); err != nil {
		return errors.Join(err, h.takeBack(ctx))
	}
	fmt.Fprintf(env.stderr, "enrolling it as %s at %s\n", name, controllers)
	if err := h.enrol(ctx, client, name, controllers); err != nil {
		return errors.Join(err, h.takeBack(ctx))
	}
	if err := h.start(ctx, controllers); err != nil {
		return err
	}
	if err := h.awaitConnected(ctx, client, name, controllers); err != nil {
		return err
	}
	does := "observes"
	if kept {
		does = "does what its guard file allows: " + h.paths.guard()
	}
	fmt.Fprintf(env.stdout, "agent %s is installed on %s and %s\n", name, clean(in.at.target), clean(does))
	return nil
}

func agentRemove(env *environment) *cobra.Command {
	var in installation
	cmd := &cobra.Command{
		Use:   "remove --ssh [user@]host",
		Short: "Take an installed agent away again, without a trace, and revoke it",
		Example: `  secondline agent remove --ssh root@web1
  secondline agent remove --ssh ops@web2 --name web2`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return removeAgent(cmd.Context(), env, in)
		},
	}
	cmd.Flags().StringVar(&in.at.target, "ssh", "", "the host, as ssh takes it: [user@]host")
	cmd.Flags().StringVar(&in.name, "name", "", "what the agent is called (default: the host's name here)")
	_ = cmd.MarkFlagRequired("ssh")
	in.c = addConnection(env, cmd)
	in.at.addFlags(env, cmd)
	return cmd
}

func removeAgent(ctx context.Context, env *environment, in installation) error {
	client, err := in.c.client()
	if err != nil {
		return err
	}
	h, err := in.open(ctx, env)
	if err != nil {
		return err
	}
	defer h.close()
	name := firstWord(in.name, in.at.name())
	if _, err := h.sh(ctx, remote.Write, nil, removeScript, h.paths.binary, h.paths.config, h.paths.state, h.paths.unit); err != nil {
		return fmt.Errorf("remove from %s: %w", in.at.target, err)
	}
	if _, err := client.RevokeAgent(ctx, name); err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("revoke agent %s: %w", name, err)
	}
	fmt.Fprintf(env.stdout, "agent %s is gone from %s and revoked\n", name, clean(in.at.target))
	return nil
}

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// installPaths are the only places on a host that belong to an installed
// agent; remove takes away exactly these.
type installPaths struct {
	binary, config, state, unit string
	root                        bool
}

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

const agentUnit = `[Unit]
Description=Secondline agent
Documentation=https://github.com/secondline-ops/secondline
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=%s agent run --controller %s --state %s --guard %s
Restart=always
RestartSec=5
KillMode=control-group
StateDirectory=secondline-agent
UMask=0077

[Install]
WantedBy=multi-user.target
`

const observeGuard = `# What this host allows its agent. The controller cannot change this file.
# mode: act lets it carry out plans that were approved.
mode: observe
`

func agentInstall(env *environment) *cobra.Command {
	var in installation
	cmd := &cobra.Command{
		Use:   "install --ssh [user@]host",
		Short: "Put an agent onto a host over SSH and enrol it, observing only",
		Long: `Copies this binary to the host, enrols it with a one-time token made on the controller, and starts it: as a systemd
service when logging in as root, else in the user's own folder. The agent observes; it acts only after "mode: act" stands in
the guard file on that host. Installing again updates the binary and restarts the agent with what the guard file says now.
"secondline agent remove --ssh host" takes everything away again.`,
		Example: `  secondline agent install --ssh root@web1 --controller ctl.example:7421
  secondline agent install --ssh ops@web2 --name web2 --controller ctl.example:7421`,
		Args: cobra.NoArgs,
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

// host is the other end of an installation.
type installHost struct {
	remote.Runner
	paths installPaths
	close func()
}

func (in *installation) open(ctx context.Context, env *environment) (*installHost, error) {
	if err := in.at.complete(); err != nil {
		return nil, err
	}
	r, done, err := in.at.openFor(ctx, env, entity.Entity{ID: in.at.name()}, remote.AllowAll())
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
	return h, nil
}

// sh runs a constant script; values reach it as arguments only.
func (h *installHost) sh(ctx context.Context, effect remote.Effect, stdin []byte, script string, args ...string) (remote.Result, error) {
	res, err := h.Run(ctx, remote.Command{
		Argv: append([]string{"sh", "-c", "set -eu; umask 077; " + script, "sh"}, args...), Stdin: stdin, Effect: effect, Timeout: 2 * time.Minute,
	})
	if err == nil {
		err = res.Err()
	}
	if err != nil && len(res.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(clean(string(res.Stderr))))
	}
	return res, err
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
	fmt.Fprintf(env.stderr, "copying the binary to %s:%s\n", clean(in.at.target), h.paths.binary)
	if err := h.copyBinary(ctx); err != nil {
		return err
	}
	made, err := client.EnrolToken(ctx, api.EnrolRequest{Agent: name})
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stderr, "enrolling it as %s at %s\n", name, controllers)
	first, _, _ := strings.Cut(controllers, ",")
	if _, err := h.sh(ctx, remote.Write, []byte(made.Token+"\n"), `"$1" agent enroll --controller "$2" --name "$3" --state "$4" --token-file -`,
		h.paths.binary, first, name, h.paths.state); err != nil {
		return fmt.Errorf("enrol on %s: %w", in.at.target, err)
	}
	kept, err := h.start(ctx, controllers)
	if err != nil {
		return err
	}
	does := "observes"
	if kept {
		does = "does what its guard file allows: " + path.Join(h.paths.config, "guard.yaml")
	}
	fmt.Fprintf(env.stdout, "agent %s is installed on %s and %s\n", name, clean(in.at.target), clean(does))
	return nil
}

// copyBinary sends this program, unless it is there already: packed, in parts
// that a command may be given to read, and put in place in one move.
func (h *installHost) copyBinary(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		return fmt.Errorf("read this program: %w", err)
	}
	sum := sha256.Sum256(data)
	there, err := h.sh(ctx, remote.Read, nil, `[ ! -e "$1" ] || sha256sum "$1"`, h.paths.binary)
	if err != nil {
		return fmt.Errorf("look for the binary: %w", err)
	}
	if digest, _, _ := strings.Cut(string(there.Stdout), " "); digest == hex.EncodeToString(sum[:]) {
		return nil
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("pack this program: %w", err)
	}
	if _, err := z.Write(data); err != nil {
		return fmt.Errorf("pack this program: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("pack this program: %w", err)
	}
	script := `mkdir -p "$(dirname "$1")" "$2" "$3"; cat > "$1.new.gz"`
	for part := range slices.Chunk(packed.Bytes(), remote.MaxStdinBytes) {
		if _, err := h.sh(ctx, remote.Write, part, script, h.paths.binary, h.paths.config, h.paths.state); err != nil {
			return fmt.Errorf("copy the binary: %w", err)
		}
		script = `cat >> "$1.new.gz"`
	}
	if _, err := h.sh(ctx, remote.Write, nil,
		`gzip -dc < "$1.new.gz" > "$1.new"; rm -f "$1.new.gz"; chmod 755 "$1.new"; mv -f "$1.new" "$1"; "$1" version > /dev/null`, h.paths.binary); err != nil {
		return fmt.Errorf("unpack the binary: %w", err)
	}
	return nil
}

// stopScript ends the agent that an earlier installation left running without
// systemd. Its program may have been replaced meanwhile: proc(5) then says
// "(deleted)". It is given the time to end its open step.
const stopScript = `
if [ -s "$3/agent.pid" ]; then
  p=$(cat "$3/agent.pid")
  case "$(readlink "/proc/$p/exe" 2> /dev/null)" in
  "$1" | "$1 (deleted)")
    kill "$p"; i=0
    while kill -0 "$p" 2> /dev/null && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done
    if kill -0 "$p" 2> /dev/null; then echo "the running agent (pid $p) is still at work" >&2; exit 1; fi ;;
  esac
fi
`

// start writes the guard file, unless the host has one, and starts the agent
// anew: an earlier one ends, so that installing again updates it. kept says
// that the host had a guard file.
func (h *installHost) start(ctx context.Context, controllers string) (kept bool, err error) {
	guardFile := path.Join(h.paths.config, "guard.yaml")
	res, err := h.sh(ctx, remote.Write, []byte(observeGuard), `if [ -e "$1" ]; then echo kept; else cat > "$1"; fi`, guardFile)
	if err != nil {
		return false, fmt.Errorf("write the guard file: %w", err)
	}
	kept = len(res.Stdout) > 0
	if h.paths.unit == "" {
		_, err := h.sh(ctx, remote.Write, nil,
			stopScript+`setsid "$1" agent run --controller "$4" --state "$3" --guard "$2/guard.yaml" > "$3/agent.log" 2>&1 < /dev/null & echo $! > "$3/agent.pid"`,
			h.paths.binary, h.paths.config, h.paths.state, controllers)
		return kept, err
	}
	unit := fmt.Sprintf(agentUnit, h.paths.binary, controllers, h.paths.state, guardFile)
	if _, err := h.sh(ctx, remote.Write, []byte(unit), `cat > "$1"; chmod 644 "$1"; systemctl daemon-reload; u=$(basename "$1"); systemctl enable "$u"; systemctl restart "$u"`, h.paths.unit); err != nil {
		return kept, fmt.Errorf("start the service: %w", err)
	}
	return kept, nil
}

func agentRemove(env *environment) *cobra.Command {
	var in installation
	cmd := &cobra.Command{
		Use:   "remove --ssh [user@]host",
		Short: "Take an installed agent away again, without a trace, and revoke it",
		Example: `  secondline agent remove --ssh root@web1
  secondline agent remove --ssh ops@web2 --name web2`,
		Args: cobra.NoArgs,
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

// removeScript ends the agent and deletes its own files, each by name, and
// then the folders, if nobody else has put something there.
const removeScript = `
if [ -n "$4" ] && [ -e "$4" ]; then systemctl disable --now "$(basename "$4")" 2> /dev/null || :; rm -f "$4"; systemctl daemon-reload; fi
` + stopScript + `
rm -f "$1" "$1.new" "$1.new.gz" "$2/guard.yaml"
rm -rf "$3"
rmdir "$2" 2> /dev/null || :
rmdir "$(dirname "$1")" 2> /dev/null || :
`

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

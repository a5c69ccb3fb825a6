package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

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

// connectWithin bounds the wait for the agent that was started: it dials at
// once, and a machine under load takes seconds.
const connectWithin = 30 * time.Second

// installHost is the other end of an installation.
type installHost struct {
	remote.Runner
	paths installPaths
	fresh bool // there was neither binary nor state
	close func()
}

// sh runs a constant script; values reach it as arguments only.
func (h *installHost) sh(ctx context.Context, effect remote.Effect, stdin []byte, script string, args ...string) (remote.Result, error) {
	res, err := h.Run(ctx, remote.Command{
		Argv: append([]string{"sh", "-c", "set -eu; umask 077; " + script, "sh"}, args...), Stdin: stdin, Effect: effect, Timeout: 2 * time.Minute,
	})
	if said := strings.TrimSpace(clean(string(res.Stderr))); err == nil && res.ExitCode != 0 && said != "" {
		return res, errors.New(strings.TrimPrefix(said, "secondline: ")) // of our own program there, or of the shell
	}
	if err == nil {
		err = res.Err()
	}
	return res, err
}

// checkGuard reads the guard file that the host has already. With a mistake in
// it the agent would not start, so that nothing is touched.
func (h *installHost) checkGuard(ctx context.Context) (kept bool, err error) {
	res, err := h.sh(ctx, remote.Read, nil, `if [ -e "$1" ]; then echo kept; cat "$1"; fi`, h.paths.guard())
	if err != nil {
		return false, fmt.Errorf("read the guard file: %w", err)
	}
	text, kept := bytes.CutPrefix(res.Stdout, []byte("kept\n"))
	if !kept {
		return false, nil
	}
	_, err = guard.Parse(h.paths.guard(), text)
	return true, err
}

// enrol makes a token and has the host use it. first is the controller that is
// asked; the agent knows them all.
func (h *installHost) enrol(ctx context.Context, client *api.Client, name, controllers string) error {
	made, err := client.EnrolToken(ctx, api.EnrolRequest{Agent: name})
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(controllers, ",")
	res, err := h.sh(ctx, remote.Write, []byte(made.Token+"\n"), `"$1" agent enroll --controller "$2" --state "$3" --token-file -`,
		h.paths.binary, first, h.paths.state)
	if err != nil && res.ExitCode == fault.ExitUnreachable {
		return fault.Wrap(fault.Unreachable, err, "%s does not reach the controller at %s", h.Target(), first).
			WithHint("give the controller's address for agents as that host sees it: --controller HOST:7421; nothing was left there that was not there before")
	}
	if err != nil {
		return fmt.Errorf("enrol on %s: %w", h.Target(), err)
	}
	return nil
}

// awaitConnected waits until the controller sees the agent. An agent that has
// ended by then is asked for its last words, and so is one that does not come.
func (h *installHost) awaitConnected(ctx context.Context, client *api.Client, name, controllers string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, connectWithin, fault.New(fault.Timeout, "it has not connected to %s within %s", controllers, connectWithin))
	defer cancel()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		list, err := client.ListAgents(ctx)
		if err == nil && slices.ContainsFunc(list.Agents, func(a api.Agent) bool { return a.ID == name && a.Connected }) {
			return nil
		}
		if err == nil {
			err = h.ended(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return h.silent(context.WithoutCancel(ctx), context.Cause(ctx))
		}
	}
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
// anew: an earlier one ends, so that installing again updates it.
func (h *installHost) start(ctx context.Context, controllers string) error {
	if _, err := h.sh(ctx, remote.Write, []byte(observeGuard), `[ -e "$1" ] || cat > "$1"`, h.paths.guard()); err != nil {
		return fmt.Errorf("write the guard file: %w", err)
	}
	if h.paths.unit == "" {
		_, err := h.sh(ctx, remote.Write, nil,
			stopScript+`setsid "$1" agent run --controller "$4" --state "$3" --guard "$2/guard.yaml" > "$3/agent.log" 2>&1 < /dev/null & echo $! > "$3/agent.pid"`,
			h.paths.binary, h.paths.config, h.paths.state, controllers)
		return err
	}
	unit := fmt.Sprintf(agentUnit, h.paths.binary, controllers, h.paths.state, h.paths.guard())
	if _, err := h.sh(ctx, remote.Write, []byte(unit), `cat > "$1"; chmod 644 "$1"; systemctl daemon-reload; u=$(basename "$1"); systemctl enable "$u"; systemctl restart "$u"`, h.paths.unit); err != nil {
		return fmt.Errorf("start the service: %w", err)
	}
	return nil
}

// aliveScript says "ended" of an agent that does not run any more. systemd
// starts one again after five seconds, and calls it activating until then.
const aliveScript = `
if [ -n "$2" ]; then
  [ "$(systemctl show --property=ActiveState --value "$(basename "$2")")" = active ] || echo ended
else
  kill -0 "$(cat "$1/agent.pid")" 2> /dev/null || echo ended
fi
`

// lastWordsScript shows the end of the agent's log.
const lastWordsScript = `
if [ -n "$2" ]; then
  journalctl --unit "$(basename "$2")" --lines 5 --no-pager --output cat
else
  tail -n 5 "$1/agent.log"
fi
`

// ended returns an error when the agent that was started has ended.
func (h *installHost) ended(ctx context.Context) error {
	res, err := h.sh(ctx, remote.Read, nil, aliveScript, h.paths.state, h.paths.unit)
	if err != nil {
		return fmt.Errorf("look for the agent: %w", err)
	}
	if len(res.Stdout) == 0 {
		return nil
	}
	return h.silent(ctx, fault.New(fault.Internal, "it has ended"))
}

// silent says why the agent that was installed is not connected, with what it
// wrote last.
func (h *installHost) silent(ctx context.Context, why error) error {
	log := path.Join(h.paths.state, "agent.log")
	if h.paths.unit != "" {
		log = "journalctl -u " + path.Base(h.paths.unit)
	}
	err := fault.New(fault.KindOf(why), "the agent is installed on %s, and does not work: %v", h.Target(), why).
		WithHint("its log there: %s; mend the cause and install it again, or take it away with: secondline agent remove", log)
	if res, lerr := h.sh(ctx, remote.Read, nil, lastWordsScript, h.paths.state, h.paths.unit); lerr == nil && len(res.Stdout) > 0 {
		err.Message += "; it wrote last:\n" + strings.TrimRight(string(res.Stdout), "\n")
	}
	return err
}

// takeBack removes what an installation that did not come about has brought.
// What was there before stays, and so does a guard file.
func (h *installHost) takeBack(ctx context.Context) error {
	if !h.fresh {
		return nil
	}
	if _, err := h.sh(context.WithoutCancel(ctx), remote.Write, nil, discardScript, h.paths.binary, h.paths.config, h.paths.state); err != nil {
		return fmt.Errorf("take back what was copied to %s: %w", h.Target(), err)
	}
	return nil
}

// removeScript ends the agent and deletes its own files.
const removeScript = `
if [ -n "$4" ] && [ -e "$4" ]; then systemctl disable --now "$(basename "$4")" 2> /dev/null || :; rm -f "$4"; systemctl daemon-reload; fi
` + stopScript + `
rm -f "$2/guard.yaml"
` + discardScript

// discardScript deletes what an installation brought, each file by name, and
// then the folders, if nobody else has put something there.
const discardScript = `
rm -f "$1" "$1.new" "$1.new.gz"
rm -rf "$3"
rmdir "$2" 2> /dev/null || :
rmdir "$(dirname "$1")" 2> /dev/null || :
`

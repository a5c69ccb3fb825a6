package host

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/plugins"
)

// startTimeout bounds launch, handshake and first call together. A launch was
// measured at 80 ms, ten at once at 430 ms; a sick host takes its time.
const startTimeout = 30 * time.Second

// process is one running plugin.
type process struct {
	command *command
	plugin  *plugin.Client
	client  *plugins.Client // nil until connected
	info    plugins.Info
	specs   []plugins.Spec
}

// startProcess launches the plugin and asks what it is. The process sees
// nothing of the agent's environment. Nothing is left running on an error.
func (h *Host) startProcess(ctx context.Context, e Entry) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p := &process{command: newCommand(e, h.starter)}
	said := &lastWords{logger: h.opts.Logger.With("plugin", e.Name)}
	p.plugin = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  plugins.Handshake(),
		Plugins:          plugins.Set(plugins.Info{}),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			p.command.cmd.Env = cmd.Env // go-plugin's variables only, see SkipHostEnv
			return p.command, nil
		},
		AutoMTLS:         !e.Plain,
		SkipHostEnv:      true,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: h.dir},
		StartTimeout:     startTimeout,
		Stderr:           said,
		Logger:           hclog.NewNullLogger(),
		// Options given here come after go-plugin's own, which have no bound.
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(plugins.MaxReplyBytes))},
	})
	// go-plugin's Start heeds no context; a killed process makes it return.
	stop := context.AfterFunc(ctx, func() { _ = p.command.Kill(ctx) })
	defer stop()
	err := p.connect(ctx)
	if err == nil {
		return p, nil
	}
	p.kill()
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return nil, f
	}
	if p.command.stdout != nil { // it was started
		if other := p.command.stdout.otherProtocol(e.Name); other != nil {
			return nil, other
		}
	}
	return nil, fault.Wrap(fault.Unreachable, errors.Join(err, ctx.Err()), "start plugin %s", e.Name).
		WithHint("the last it said was: %q", said.text())
}

func (p *process) connect(ctx context.Context) error {
	protocol, err := p.plugin.Client()
	if err != nil {
		return err
	}
	if p.client, err = plugins.Dispense(protocol); err != nil {
		return err
	}
	p.info, p.specs, err = p.client.Describe(ctx)
	return err
}

// exited reports whether the process has ended by itself.
func (p *process) exited() bool {
	select {
	case <-p.command.ended:
		return true
	default:
		return false
	}
}

// kill ends the process with all that it started and waits until both are gone
// and everything that served them has returned. It may be called once.
func (p *process) kill() {
	// First the process: go-plugin asks a plugin to leave and waits for the
	// answer without a bound, which a stopped process never gives.
	_ = p.command.Kill(context.Background()) // an error means that it is beyond our reach; Kill below says no more
	if p.client != nil {
		p.client.Close()
	}
	p.plugin.Kill()
}

// lastWords logs what a plugin writes to standard error and keeps the end of
// it, for the message that says why it did not start.
type lastWords struct {
	logger *slog.Logger

	mu   sync.Mutex
	tail []byte // guarded by mu
}

const maxLastWords = 500

// Write implements io.Writer.
func (w *lastWords) Write(b []byte) (int, error) {
	if line := strings.TrimSpace(string(b[:min(len(b), maxLastWords)])); line != "" {
		w.logger.Debug("plugin wrote to standard error", "line", line)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, b[max(0, len(b)-maxLastWords):]...)
	w.tail = w.tail[max(0, len(w.tail)-maxLastWords):]
	return len(b), nil
}

func (w *lastWords) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(w.tail), "\uFFFD"))
}

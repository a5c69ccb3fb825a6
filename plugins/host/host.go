package host

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/plugins"
)

// Limits and defaults of a Host.
const (
	DefaultIdleStop    = 5 * time.Minute
	DefaultMaxRunning  = 8
	DefaultCallTimeout = 60 * time.Second

	maxCalls     = 4 // at once, of one plugin
	firstBackoff = time.Second
	maxBackoff   = time.Minute
	maxDirLen    = 60 // sun_path holds 108 bytes (unix(7)); go-plugin's names below the folder take 45
)

// Entry is a plugin as the operator configured it.
type Entry struct {
	Name   string // the plugin's own name; its probes are "<name>.<probe>"
	Path   string // absolute
	Args   []string
	SHA256 string // of the file, hex; another file is refused
	// Allow is what the plugin may ask for; one that asks for more is refused.
	Allow plugins.Capabilities
	// Targets are names, with * and ?, of the servers that it may be lent; none
	// means all.
	Targets []string
	// Plain is for languages whose gRPC does not know the P-521 certificates of
	// go-plugin: without TLS the folder of the socket, 0700, is what protects it.
	Plain bool
	// Probes is what the plugin is known to declare. No process is then started
	// to ask it, only to read; one that declares something else is refused.
	Probes []plugins.Spec
}

// mayReach reports whether the plugin may be lent the target.
func (e Entry) mayReach(target string) bool {
	return len(e.Targets) == 0 || slices.ContainsFunc(e.Targets, func(pattern string) bool {
		ok, _ := path.Match(pattern, target) // complete has checked the pattern
		return ok
	})
}

// Options configure a Host.
type Options struct {
	Dir         string // where the private folder for sockets is made; "" means the system's
	Entries     []Entry
	Logger      *slog.Logger
	IdleStop    time.Duration // a process unused for so long is stopped
	MaxRunning  int
	CallTimeout time.Duration // of one Read or Parse, where the caller's context is not shorter
	Now         func() time.Time
}

// Host is a pool of plugin processes. It is safe for concurrent use.
type Host struct {
	opts    Options
	dir     string
	checker *plugins.Checker
	starter *starter
	slots   []*slot
	life    context.Context //nolint:containedctx // ends with Close, and every call with it
	end     context.CancelFunc
	work    sync.WaitGroup // calls under way, and the janitor

	mu     sync.Mutex // guards below, and the pool fields of slots
	closed bool
}

// slot is the place of one entry in the pool.
type slot struct {
	entry Entry
	calls chan struct{} // a token for each call under way
	gate  chan struct{} // held while the process is being looked for or started

	// Pool fields, guarded by Host.mu.
	process   *process
	active    int
	usedAt    time.Time
	failures  int // in a row
	notBefore time.Time
}

// New returns a Host. No process is started before it is needed.
func New(opts Options) (*Host, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(opts.Dir, "slp") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("make plugin socket folder: %w", err)
	}
	if len(dir) > maxDirLen {
		err := fault.New(fault.Invalid, "plugin socket folder %s is longer than %d bytes, too long for a socket's name", dir, maxDirLen).WithField("dir")
		return nil, errors.Join(err, os.Remove(dir))
	}
	h := &Host{opts: opts, dir: dir, checker: plugins.NewChecker(), starter: newStarter()}
	h.life, h.end = context.WithCancel(context.Background())
	for _, e := range opts.Entries {
		h.slots = append(h.slots, &slot{entry: e, calls: make(chan struct{}, maxCalls), gate: make(chan struct{}, 1)})
	}
	h.work.Go(h.stopIdleProcesses)
	return h, nil
}

// complete fills in defaults and names every bad entry.
func (o *Options) complete() error {
	if o.IdleStop <= 0 {
		o.IdleStop = DefaultIdleStop
	}
	if o.MaxRunning <= 0 {
		o.MaxRunning = DefaultMaxRunning
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	name := regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	var bad []error
	for i, e := range o.Entries {
		sum, err := hex.DecodeString(e.SHA256)
		twice := slices.ContainsFunc(o.Entries[:i], func(b Entry) bool { return b.Name == e.Name })
		switch {
		case !name.MatchString(e.Name) || twice:
			bad = append(bad, fault.New(fault.Invalid, "plugin %q: the name is not of the form [a-z][a-z0-9_]*, or is there twice", e.Name).WithField("name"))
		case !filepath.IsAbs(e.Path):
			bad = append(bad, fault.New(fault.Invalid, "plugin %s: path %q is not absolute", e.Name, e.Path).WithField("path"))
		case e.Allow.Check() != nil:
			bad = append(bad, fault.New(fault.Invalid, "plugin %s: %v", e.Name, e.Allow.Check()).WithField("allow"))
		case slices.ContainsFunc(e.Targets, func(p string) bool { _, err := path.Match(p, ""); return err != nil }):
			bad = append(bad, fault.New(fault.Invalid, "plugin %s: hosts %q are not names with * and ?", e.Name, e.Targets).WithField("hosts"))
		case err != nil || len(sum) != 32:
			bad = append(bad, fault.New(fault.Invalid, "plugin %s: sha256 is not 64 hex digits", e.Name).WithField("sha256").
				WithHint("sha256sum %s", e.Path))
		}
	}
	return errors.Join(bad...)
}

// Bundled returns entries for plugins that are part of the running binary,
// which serves each when called with the arguments "plugin serve NAME". They may
// only read until the caller says what else.
func Bundled(names ...string) ([]Entry, error) {
	// Not os.Executable: after an upgrade that path is another file, and this is
	// still the one that runs.
	const self = "/proc/self/exe"
	sum, err := Checksum(self)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(names))
	for i, name := range names {
		entries[i] = Entry{Name: name, Path: self, Args: []string{"plugin", "serve", name}, SHA256: sum, Allow: plugins.Capabilities{plugins.CapabilityRead}}
	}
	return entries, nil
}

// Probes returns the probes that the plugins declare. Those that are not known
// beforehand are started once for it. A plugin that cannot be started or is
// refused is left out and named in the error; the probes of the others are good.
func (h *Host) Probes(ctx context.Context) ([]diagnostics.Probe, error) {
	var probes []diagnostics.Probe
	var bad []error
	for _, s := range h.slots {
		specs, err := h.describe(ctx, s)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		for _, spec := range specs {
			probes = append(probes, &probe{host: h, slot: s, spec: spec})
		}
	}
	return probes, errors.Join(bad...)
}

func (h *Host) describe(ctx context.Context, s *slot) (specs []plugins.Spec, err error) {
	if len(s.entry.Probes) > 0 {
		return s.entry.Probes, nil
	}
	err = h.call(ctx, s, func(_ context.Context, p *process) error {
		specs = p.specs
		return nil
	})
	return specs, err
}

// slot returns the place of the plugin of the name.
func (h *Host) slot(name string) (*slot, error) {
	for _, s := range h.slots {
		if s.entry.Name == name {
			return s, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no plugin %q", name)
}

// Status says how one plugin stands, for people.
type Status struct {
	Name     string
	SHA256   string
	Running  bool
	PID      string // "" when not running
	Version  string
	Failures int       // in a row
	RetryAt  time.Time // zero unless it is being held back
	Allow    plugins.Capabilities
}

// Status returns the plugins in the order of configuration.
func (h *Host) Status() []Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Status, len(h.slots))
	for i, s := range h.slots {
		out[i] = Status{Name: s.entry.Name, SHA256: s.entry.SHA256, Failures: s.failures, RetryAt: s.notBefore, Allow: s.entry.Allow}
		if s.process != nil && !s.process.exited() {
			out[i].Running, out[i].PID, out[i].Version = true, s.process.command.ID(), s.process.info.Version
		}
	}
	return out
}

// Close ends every plugin and waits for their processes and for the calls
// under way, which fail. It may be called twice.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	var running []*process
	for _, s := range h.slots {
		if s.process != nil {
			running = append(running, s.process)
			s.process = nil
		}
	}
	h.mu.Unlock()
	h.end()
	for _, p := range running {
		p.kill()
	}
	h.work.Wait()
	h.starter.stop()
	return os.RemoveAll(h.dir)
}

// Package ssh is the transport to servers without an agent: one multiplexed
// connection per server, host keys always checked, the agent never forwarded,
// no pty. It needs a POSIX shell as the login shell, timeout(1) of coreutils for
// what may change the server, and for file reads stat(1), head(1) and, to list
// directories, GNU find.
//
// Closing a session does not end what runs in it. A command that ran too long
// is sent TERM, and after a grace its process group is killed over a second
// session; what moved to a session of its own (setsid) is not reached. When that
// second session does not come about, timeout(1) on the server is the backstop
// (remote.Command.Launch).
package ssh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	defaultDialTimeout = 10 * time.Second
	defaultKeepAlive   = 15 * time.Second
	// maxDials at once per host: MaxStartups 10:30:100 of sshd_config(5) drops
	// logins at random from the tenth on.
	maxDials = 5
	maxJumps = 4
)

// Options say how servers are reached and proven.
type Options struct {
	KnownHosts  []string      // files with the keys of hosts; none: those that ssh(1) would read. A missing one is empty, all are read again when they change
	ConfigFile  string        // an ssh_config(5), of which Host, HostName, User, Port, IdentityFile, ProxyJump, UserKnownHostsFile are read; "" for none
	Home        string        // what ~ means in ConfigFile, and where .ssh/known_hosts is
	Identities  []string      // private key files, with <file>-cert.pub beside them where there is one
	AgentSocket string        // of an ssh-agent; "" for none
	Timeout     time.Duration // of one connection with its handshake; 0 means 10 s
	KeepAlive   time.Duration // between signs of life; 0 means 15 s; the third missed closes the connection
	Logger      *slog.Logger  // nil: silent
	Now         func() time.Time
}

// Host is a server to be reached. What is empty comes from the ConfigFile, by
// Name, and else is the default: port 22, the current user, no jump.
type Host struct {
	Name    string
	Address string
	Port    int
	User    string
	Jump    *Host

	identities []string
	knownHosts []string
}

func (h Host) hostPort() string { return net.JoinHostPort(h.Address, strconv.Itoa(h.Port)) }

// key tells connections apart: what one file proved, another need not prove.
func (h Host) key() string {
	key := h.User + "@" + h.hostPort() + " by " + strings.Join(h.knownHosts, " ")
	if h.Jump != nil {
		key += " via " + h.Jump.key()
	}
	return key
}

// Dialer connects to servers. It is safe for concurrent use.
type Dialer struct {
	o      Options
	config *config
	keys   *keyring

	mu    sync.Mutex             // guards below
	known map[string]*knownHosts // by the names of their files
	jumps map[string]*Transport
	dials map[string]*dialGate
	done  bool
}

// NewDialer returns a Dialer. It reads the configuration file and nothing else.
func NewDialer(o Options) (*Dialer, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultDialTimeout
	}
	if o.KeepAlive <= 0 {
		o.KeepAlive = defaultKeepAlive
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	cfg, err := readConfig(o.ConfigFile, o.Home)
	if err != nil {
		return nil, err
	}
	return &Dialer{
		o: o, config: cfg, known: map[string]*knownHosts{}, keys: &keyring{agentSocket: o.AgentSocket, parsed: map[string]parsedKey{}},
		jumps: map[string]*Transport{}, dials: map[string]*dialGate{},
	}, nil
}

// Files lists the private keys and the known hosts files that the configuration
// file itself names, for whatever host. Names with a token that only a
// connection fills in, such as %h, are left out.
func (d *Dialer) Files() (identities, knownHosts []string) { return d.config.files() }

// Ignored lists the directives of the configuration file that have no effect
// here, each with its line.
func (d *Dialer) Ignored() []string { return slices.Clone(d.config.ignored) }

// Dial connects to the host and returns its transport, or an *remote.Error
// that says why not. The caller closes the transport.
func (d *Dialer) Dial(ctx context.Context, h Host) (*Transport, error) {
	h, err := d.resolve(h, 0)
	if err != nil {
		return nil, err
	}
	t := d.newTransport(h)
	c, err := t.acquire(ctx)
	if err != nil {
		_ = t.Close()
		return nil, err
	}
	t.release(c)
	return t, nil
}

// Close closes the connections to jump hosts. Transports are closed by those
// who dialled them. It may be called twice.
func (d *Dialer) Close() error {
	d.mu.Lock()
	jumps := slices.Collect(maps.Values(d.jumps))
	d.jumps, d.done = map[string]*Transport{}, true
	d.mu.Unlock()
	var errs []error
	for _, t := range jumps {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// resolve fills in what the caller left open.
func (d *Dialer) resolve(h Host, depth int) (Host, error) {
	if depth > maxJumps {
		return h, &remote.Error{Class: remote.InvalidCall, Target: h.Name, Doing: "dial", Err: fault.New(fault.Invalid, "more than %d jump hosts", maxJumps)}
	}
	alias := h.Name
	if alias == "" {
		alias = h.Address
	}
	if alias == "" {
		return h, &remote.Error{Class: remote.InvalidCall, Doing: "dial", Err: fault.New(fault.Invalid, "the host has neither name nor address")}
	}
	found, err := d.config.lookup(alias)
	if err != nil {
		return h, &remote.Error{Class: remote.InvalidCall, Target: alias, Doing: "dial", Err: err}
	}
	h.Name = alias
	h.Address = firstOf(h.Address, found.Address, alias)
	h.User = firstOf(h.User, found.User)
	h.identities = append(found.identities, d.o.Identities...)
	if h.Port == 0 {
		h.Port = found.Port
	}
	if h.Port == 0 {
		h.Port = 22
	}
	if h.Port < 0 || h.Port > 65535 || strings.ContainsAny(h.Address, " \t\n/") {
		return h, &remote.Error{Class: remote.InvalidCall, Target: alias, Doing: "dial", Err: fault.New(fault.Invalid, "%q port %d is not an address", h.Address, h.Port)}
	}
	if h.User == "" {
		login, err := user.Current()
		if err != nil {
			return h, fmt.Errorf("look up the current user: %w", err)
		}
		h.User = login.Username
	}
	if h.knownHosts, err = d.knownHostsFiles(h, found.knownHosts); err != nil {
		return h, &remote.Error{Class: remote.InvalidCall, Target: alias, Doing: "dial", Err: err}
	}
	if h.Jump == nil {
		h.Jump = found.Jump
	}
	if h.Jump != nil {
		jump, err := d.resolve(*h.Jump, depth+1)
		if err != nil {
			return h, err
		}
		h.Jump = &jump
	}
	return h, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// jump returns the transport to a jump host, which all hosts behind it share:
// forwarded connections do not count as sessions.
func (d *Dialer) jump(h Host) (*Transport, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done {
		return nil, &remote.Error{Class: remote.Refused, Target: h.Name, Doing: "dial", Err: errClosed}
	}
	t, ok := d.jumps[h.key()]
	if !ok {
		t = d.newTransport(h)
		d.jumps[h.key()] = t
	}
	return t, nil
}

// dialGate bounds the logins at once to one host. It is forgotten with its
// last user.
type dialGate struct {
	slots chan struct{}
	users int
}

// enterDial waits for a turn to log in to the host.
func (d *Dialer) enterDial(ctx context.Context, hostPort string) (leave func(), err error) {
	d.mu.Lock()
	g, ok := d.dials[hostPort]
	if !ok {
		g = &dialGate{slots: make(chan struct{}, maxDials)}
		d.dials[hostPort] = g
	}
	g.users++
	d.mu.Unlock()
	forget := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if g.users--; g.users == 0 {
			delete(d.dials, hostPort)
		}
	}
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
}

package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/ssh"
)

// Options say where the keys for servers are.
type Options struct {
	KnownHosts  []string
	ConfigFile  string
	Home        string
	Identities  []string
	AgentSocket string
	User        string // login name where the inventory gives none
	Logger      *slog.Logger
}

// Keyring opens the ways to targets, and keeps one connection per server; a
// connection that broke is replaced by its transport. Safe for concurrent use.
type Keyring struct {
	dialer *ssh.Dialer
	user   string
	local  *local.Transport
	alive  context.Context //nolint:containedctx // ends with Close: a dial belongs to all who wait for it
	die    context.CancelFunc
	wait   sync.WaitGroup

	mu sync.Mutex // guards below
	// open are the ways by target; a dial that failed is not kept.
	open   map[string]*way
	closed bool
}

// way is a transport, or the dial that will give it.
type way struct {
	ready     chan struct{}
	transport *ssh.Transport // valid when ready, as is err
	err       error
}

// NewKeyring returns a keyring without connections.
func NewKeyring(o Options) (*Keyring, error) {
	dialer, err := ssh.NewDialer(ssh.Options{
		KnownHosts: o.KnownHosts, ConfigFile: o.ConfigFile, Home: o.Home, Identities: o.Identities, AgentSocket: o.AgentSocket, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	k := &Keyring{dialer: dialer, user: o.User, local: local.New(), open: map[string]*way{}}
	k.alive, k.die = context.WithCancel(context.Background())
	return k, nil
}

// Ignored lists directives of the SSH configuration that are not followed.
func (k *Keyring) Ignored() []string { return k.dialer.Ignored() }

// Reach returns the transport to the target. It belongs to the keyring. Those
// who want the same server wait for one dial; a server that does not answer
// keeps nobody else waiting.
func (k *Keyring) Reach(ctx context.Context, t job.Target) (remote.Transport, error) {
	if t.Local() {
		return k.local, nil
	}
	host := k.host(t.Entity)
	if t.Jump != nil {
		jump := k.host(*t.Jump)
		host.Jump = &jump
	}
	w, err := k.way(host)
	if err != nil {
		return nil, err
	}
	select {
	case <-w.ready:
		if w.err != nil {
			return nil, w.err
		}
		return w.transport, nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.KindOf(ctx.Err()), ctx.Err(), "dial %s", host.Name)
	}
}

// way returns the way to the host, and begins to dial when there is none.
func (k *Keyring) way(host ssh.Host) (*way, error) {
	key := hostKey(host)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, fault.New(fault.Conflict, "the keyring is closed")
	}
	if w, ok := k.open[key]; ok {
		return w, nil
	}
	w := &way{ready: make(chan struct{})}
	k.open[key] = w
	k.wait.Go(func() {
		w.transport, w.err = k.dialer.Dial(k.alive, host) // bounded by the dialer's own time-out
		if w.err != nil {
			k.mu.Lock()
			delete(k.open, key)
			k.mu.Unlock()
		}
		close(w.ready)
	})
	return w, nil
}

// hostKey tells servers apart by what is dialled, not by what else the
// inventory says of them.
func hostKey(h ssh.Host) string {
	key := fmt.Sprintf("%q %q %d %q", h.Name, h.Address, h.Port, h.User)
	if h.Jump != nil {
		key += " via " + hostKey(*h.Jump)
	}
	return key
}

func (k *Keyring) host(e entity.Entity) ssh.Host {
	user := e.User
	if user == "" {
		user = k.user
	}
	return ssh.Host{Name: e.ID, Address: e.Address, Port: e.Port, User: user}
}

// Close ends all connections, those to jump hosts last. It may be called twice.
func (k *Keyring) Close() error {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.die()
	k.wait.Wait()
	k.mu.Lock()
	ways := k.open
	k.open = map[string]*way{}
	k.mu.Unlock()
	var errs []error
	for _, w := range ways {
		errs = append(errs, w.transport.Close())
	}
	return errors.Join(append(errs, k.dialer.Close())...)
}

// Package servers runs real Debian servers on one machine, for trying Secondline
// out, for its end-to-end tests and for measuring it on injected faults. A Lab
// is one network namespace without an uplink; what is in it can break only
// itself. Its hosts are systemd-nspawn containers that share this kernel: load,
// memory and pressure are those of the machine, never of one host.
//
// The lab knows Secondline only as a user does: its program, its HTTP API, SSH.
// It needs root, Debian, systemd-nspawn and debootstrap; Missing says what is
// not there.
package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// Gateway is the address of the lab itself on its bridge: where the
	// programs beside the hosts (controller, Alertmanager) are reached. The
	// namespace has no uplink, so that the range collides with nothing.
	Gateway = "10.77.0.1"
	network = "10.77.0."
	prefix  = "secondline-lab-" // of network namespaces and folders

	maxHosts = 100
)

// Lab is a namespace with hosts and processes in it. Methods are safe for
// concurrent use; Close ends everything.
type Lab struct {
	// Name is unique on this machine.
	Name string
	// Dir holds everything of this lab; Close removes it.
	Dir string

	image  string
	sshKey string

	mu sync.Mutex // guards below
	// hosts and processes are what Close ends.
	hosts     []*Host
	processes []*Process
	closed    bool
}

// Open builds the base image if the cache has none (that takes minutes) and
// makes an empty lab. It first removes what a lab left behind whose process was
// killed. The caller closes it.
func Open(ctx context.Context, cache string) (*Lab, error) {
	if missing := Missing(); len(missing) > 0 {
		return nil, fmt.Errorf("this machine has no %s", strings.Join(missing, ", no "))
	}
	if err := Sweep(ctx, cache); err != nil {
		return nil, err
	}
	image, err := buildImage(ctx, cache)
	if err != nil {
		return nil, err
	}
	name := prefix + strings.ToLower(rand.Text()[:8])
	l := &Lab{Name: name, Dir: filepath.Join(labsDir(cache), name), image: image}
	if err := l.prepare(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) prepare(ctx context.Context) error {
	if err := l.makeDir(); err != nil {
		return fmt.Errorf("make the folder of the lab: %w", err)
	}
	l.sshKey = filepath.Join(l.Dir, "id_ed25519")
	for _, argv := range [][]string{
		{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", l.Name, "-f", l.sshKey},
		{"ip", "netns", "add", l.Name},
		{"ip", "-n", l.Name, "link", "set", "lo", "up"},
		{"ip", "-n", l.Name, "link", "add", "br0", "type", "bridge"},
		{"ip", "-n", l.Name, "addr", "add", Gateway + "/24", "dev", "br0"},
		{"ip", "-n", l.Name, "link", "set", "br0", "up"},
	} {
		if _, err := Output(exec.CommandContext(ctx, argv[0], argv[1:]...)); err != nil {
			return err
		}
	}
	return nil
}

// makeDir makes the folder and says in it who owns it, so that another lab's
// Sweep knows that this one lives.
func (l *Lab) makeDir() error {
	labs := filepath.Dir(l.Dir)
	if err := os.MkdirAll(labs, 0o700); err != nil {
		return err
	}
	unlock, err := lockLabs(labs)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.MkdirAll(filepath.Join(l.Dir, pidsDir), 0o700); err != nil {
		return err
	}
	return recordPID(l.Dir, ownerFile, os.Getpid())
}

// SSHKey returns the private key that opens every host, as root and as ops.
func (l *Lab) SSHKey() string { return l.sshKey }

// KnownHosts returns a file with the key of each host that was started.
func (l *Lab) KnownHosts() string { return filepath.Join(l.Dir, "known_hosts") }

// Start starts a program in the namespace of the lab, beside its hosts.
func (l *Lab) Start(ctx context.Context, o ProcessOptions) (*Process, error) {
	o.Argv = append(l.enter(), o.Argv...)
	return l.start(ctx, o)
}

func (l *Lab) start(ctx context.Context, o ProcessOptions) (*Process, error) {
	if o.Log == "" {
		o.Log = filepath.Join(l.Dir, o.Name+".log")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the lab is closed")
	}
	p, err := StartProcess(ctx, o)
	if err != nil {
		return nil, err
	}
	l.processes = append(l.processes, p)
	return p, recordPID(l.Dir, filepath.Join(pidsDir, fmt.Sprint(p.PID())), p.PID())
}

// StartOutside starts a program in this machine's own network, which ends with
// the lab.
func (l *Lab) StartOutside(ctx context.Context, o ProcessOptions) (*Process, error) {
	return l.start(ctx, o)
}

// Command returns a command that runs in the namespace of the lab.
func (l *Lab) Command(ctx context.Context, argv ...string) *exec.Cmd {
	argv = append(l.enter(), argv...)
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// enter joins the network namespace only: "ip netns exec" also mounts /sys
// anew, after which systemd-nspawn finds no cgroup hierarchy.
func (l *Lab) enter() []string { return []string{"nsenter", "--net=" + l.netns()} }

func (l *Lab) netns() string { return filepath.Join(netnsDir, l.Name) }

// Listen listens inside the lab, for this process.
func (l *Lab) Listen(ctx context.Context, address string) (net.Listener, error) {
	var out net.Listener
	err := inNamespace(l.netns(), func() (err error) {
		out, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		return err
	})
	return out, err
}

// Dial connects from this process to an address inside the lab. The address
// must be numeric: names are not looked up there.
func (l *Lab) Dial(ctx context.Context, address string) (net.Conn, error) {
	var out net.Conn
	err := inNamespace(l.netns(), func() (err error) {
		out, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return err
	})
	return out, err
}

// Close ends every process and host and removes the lab. It may be called
// twice, and after any failure.
func (l *Lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var errs []error
	for _, p := range l.processes { // reaps those that ended by themselves, too
		errs = append(errs, p.Kill())
	}
	for _, h := range l.hosts {
		errs = append(errs, h.stop())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(append(errs, remove(ctx, l.Dir))...)
}

// Output runs a command and returns what it printed; its error has the end of
// what it complained about.
func Output(cmd *exec.Cmd) (string, error) { return outputOf(cmd, strings.Join(cmd.Args, " ")) }

// outputOf is Output of a command that errors call by the name.
func outputOf(cmd *exec.Cmd, name string) (string, error) {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.WaitDelay = 5 * time.Second // for pipes that a grandchild keeps open
	out, err := cmd.Output()
	if err != nil {
		text := strings.TrimSpace(stderr.String())
		return string(out), fmt.Errorf("%s: %w: %s", name, err, text[max(0, len(text)-2000):])
	}
	return string(out), nil
}

// Poll asks until done, an error, or the end of ctx; the last is an error that
// says what was waited for.
func Poll(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

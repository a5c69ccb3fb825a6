// Package company is the small company of the lab: eight servers, an
// application with its database, cache, names and load balancer, monitoring, and
// Secondline installed the way a user installs it. It knows Secondline by its
// program and its HTTP API only.
package company

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/servers"
)

// Options say how the company is set up.
type Options struct {
	Cache      string // of images and labs
	Repository string // the folder of this repository, whose programs are built
	Program    string // Secondline, if it is not to be built
	// Auto grants every shipped runbook the right to act without being asked.
	Auto bool
	Now  func() time.Time
	// Say is told what happens, one short line each; may be nil.
	Say func(string)
}

// Company is a running company.
type Company struct {
	Lab   *servers.Lab
	o     Options
	trust trust
	token string
	http  *http.Client
	// secondlineOff says that no agent is to be there.
	secondlineOff bool
}

// Up sets everything up and returns when orders can be placed, every agent is
// connected and no alert fires. The caller ends it by Lab.Close, or keeps it by
// Lab.Keep.
func Up(ctx context.Context, o Options) (_ *Company, err error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	c := &Company{o: o}
	if c.trust, err = newTrust(o.Now()); err != nil {
		return nil, err
	}
	o.Say("base image (the first time takes minutes)")
	if c.Lab, err = servers.Open(ctx, o.Cache); err != nil {
		return nil, err
	}
	c.http = c.client()
	for _, step := range []struct {
		say string
		do  func(context.Context) error
	}{
		{"programs", c.build},
		{"hosts", c.addHosts},
		{"Secondline's agents", c.installAgents},
		{"first orders, and silence of the alerts", c.settle},
	} {
		o.Say(step.say)
		if err := step.do(ctx); err != nil {
			c.http.CloseIdleConnections()
			return nil, errors.Join(fmt.Errorf("%s: %w", step.say, err), c.Lab.Close())
		}
	}
	return c, nil
}

// Attach returns a company that was kept.
func Attach(o Options, name string) (*Company, error) {
	l, err := servers.Attach(o.Cache, name)
	if err != nil {
		return nil, err
	}
	c := &Company{Lab: l, o: o}
	c.http = c.client()
	token, err := os.ReadFile(c.tokenFile())
	if err != nil {
		return nil, fmt.Errorf("lab %s was not set up to the end: %w", name, err)
	}
	c.token = strings.TrimSpace(string(token))
	return c, nil
}

// client speaks HTTP inside the lab.
func (c *Company) client() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext:     func(ctx context.Context, _, address string) (net.Conn, error) { return c.Lab.Dial(ctx, address) },
		IdleConnTimeout: 10 * time.Second,
	}}
}

func (c *Company) tokenFile() string { return filepath.Join(c.Lab.Dir, "admin-token") }

func (c *Company) program(name string) string { return filepath.Join(c.Lab.Dir, "bin", name) }

// build makes the programs as a release does: static, so that they run on any
// host. Killing this process ends a build, too, which otherwise would go on and
// make the folder of a removed lab anew.
func (c *Company) build(ctx context.Context) error {
	// The kernel takes the end of the starting thread for that of the parent, see
	// PR_SET_PDEATHSIG in prctl(2).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := os.MkdirAll(filepath.Join(c.Lab.Dir, "bin"), 0o700); err != nil {
		return err
	}
	sources := map[string]string{programSecondline: "./cmd/secondline", programOrders: "./examples/lab/orders"}
	if c.o.Program != "" {
		delete(sources, programSecondline)
		if err := copyFile(c.program(programSecondline), c.o.Program); err != nil {
			return err
		}
	}
	for name, dir := range sources {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", c.program(name), dir)
		// What a killed build leaves goes with the lab.
		cmd.Dir, cmd.Env = c.o.Repository, append(os.Environ(), "CGO_ENABLED=0", "GOTMPDIR="+c.Lab.Dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, text)
		}
	}
	return nil
}

// addHosts boots the host that answers names, and then all others at once: some
// programs look names up only when they start.
func (c *Company) addHosts(ctx context.Context) error {
	all := roles()
	if err := c.addHost(ctx, all[0]); err != nil {
		return err
	}
	var wait sync.WaitGroup
	errs := make([]error, len(all))
	for i, r := range all[1:] {
		wait.Go(func() { errs[i] = c.addHost(ctx, r) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.introduce(ctx)
}

func (c *Company) addHost(ctx context.Context, r role) error {
	h, err := c.Lab.AddHost(ctx, servers.HostOptions{
		Name: r.host, Address: r.address, Prepare: func(ctx context.Context, h *servers.Host) error { return c.furnish(ctx, r, h) },
	})
	if err == nil && r.once != "" {
		_, err = h.Script(ctx, r.once)
	}
	return err
}

// introduce tells mon the keys of all hosts under their names, starts the load,
// and takes the token of the controller's first start.
func (c *Company) introduce(ctx context.Context) error {
	known, err := os.ReadFile(c.Lab.KnownHosts())
	if err != nil {
		return err
	}
	text := string(known)
	for _, r := range roles() {
		text = strings.ReplaceAll(text, r.address+" ", r.host+","+r.host+"."+domain+","+r.address+" ")
	}
	m, err := c.Lab.Host(mon)
	if err != nil {
		return err
	}
	if err := m.WriteFile("/etc/ssh/ssh_known_hosts", text, 0o644); err != nil {
		return err
	}
	token, err := m.Script(ctx, "cat /var/lib/secondline/admin-token; systemctl enable --now orders-traffic.service")
	if err != nil {
		return err
	}
	c.token = strings.TrimSpace(token)
	return os.WriteFile(c.tokenFile(), []byte(c.token+"\n"), 0o600)
}

// installAgents does what docs/operations.md says, from a machine of an
// operator.
func (c *Company) installAgents(ctx context.Context) error {
	var wait sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, r := range roles() {
		if !r.agent {
			continue
		}
		wait.Go(func() {
			_, err := c.Secondline(ctx, "agent", "install", "--ssh", "root@"+r.host, "--host-name", r.address, "--controller", address(mon)+":7421",
				"--known-hosts", c.Lab.KnownHosts(), "--identity", c.Lab.SSHKey(), "--ssh-config", "none")
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func address(host string) string {
	for _, r := range roles() {
		if r.host == host {
			return r.address
		}
	}
	return ""
}

// ControllerURL is where the API and the page are, inside the lab.
func ControllerURL() string { return "http://" + address(mon) + ":7420" }

// Secondline runs the program as an operator does, beside the hosts, and returns
// what it printed.
func (c *Company) Secondline(ctx context.Context, args ...string) (string, error) {
	cmd := c.Operator(ctx, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("secondline %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

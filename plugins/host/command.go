package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"golang.org/x/sys/unix"

	"github.com/secondline-ops/secondline/internal/fault"
)

// command is a plugin's process: it implements go-plugin's runner.Runner, which
// is how a plugin can be started from the starter's thread, with a socket
// folder of its own, and be killed with everything it started.
type command struct {
	entry   Entry
	starter *starter
	cmd     *exec.Cmd
	stdout  *handshake
	stderr  io.ReadCloser
	ended   chan struct{} // closed when the process has ended and its group was killed

	mu     sync.Mutex // guards below
	pid    int
	killed bool // no start any more
	reaped bool // from here on pid may be somebody else's
}

var _ runner.Runner = (*command)(nil)

func newCommand(e Entry, s *starter) *command {
	c := &command{entry: e, starter: s, ended: make(chan struct{})}
	// Descriptor 3 of the child is the very file that start has checked, so that
	// nothing put in its place between check and start is run.
	c.cmd = exec.Command("/proc/self/fd/3", e.Args...) //nolint:noctx // it outlives the call that starts it; Kill ends it
	c.cmd.Args[0] = e.Path
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return c
}

// Start implements runner.Runner.
func (c *command) Start(context.Context) error {
	file, err := openChecked(c.entry)
	if err != nil {
		return err
	}
	defer file.Close()
	c.cmd.ExtraFiles = []*os.File{file}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	c.stdout = &handshake{ReadCloser: stdout}
	if c.stderr, err = c.cmd.StderrPipe(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return fault.New(fault.Transient, "start plugin %s: it was stopped first", c.entry.Name)
	}
	if err := c.starter.do(c.cmd.Start); err != nil {
		return err
	}
	c.pid = c.cmd.Process.Pid
	go c.watch(c.pid)
	return nil
}

// watch waits for the process to end and kills what is left of its group while
// the unreaped process still keeps the group's number from being used again.
func (c *command) watch(pid int) {
	defer close(c.ended)
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = c.Kill(context.Background())
}

// Wait implements runner.Runner.
func (c *command) Wait(context.Context) error {
	<-c.ended
	c.mu.Lock()
	c.reaped = true
	c.mu.Unlock()
	return c.cmd.Wait()
}

// Kill implements runner.Runner: at once, and the whole process group. A plugin
// only reads, so there is nothing that it could leave half done.
func (c *command) Kill(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	if c.reaped || c.pid == 0 {
		return nil
	}
	if err := syscall.Kill(-c.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill plugin %s: %w", c.entry.Name, err)
	}
	return nil
}

// Stdout implements runner.Runner.
func (c *command) Stdout() io.ReadCloser { return c.stdout }

// Stderr implements runner.Runner.
func (c *command) Stderr() io.ReadCloser { return c.stderr }

// Name implements runner.Runner.
func (c *command) Name() string { return c.entry.Name }

// ID implements runner.Runner.
func (c *command) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strconv.Itoa(c.pid)
}

// Diagnose implements runner.Runner; what the plugin wrote to standard error
// says more, and process.start adds that.
func (c *command) Diagnose(context.Context) string { return "" }

// PluginToHost implements runner.Runner: both ends see the same file system.
func (c *command) PluginToHost(network, addr string) (hostNet, hostAddr string, err error) {
	return network, addr, nil
}

// HostToPlugin implements runner.Runner.
func (c *command) HostToPlugin(network, addr string) (pluginNet, pluginAddr string, err error) {
	return network, addr, nil
}

// Checksum returns the SHA-256 of the file, hex.
func Checksum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// openChecked opens the plugin's file if it is the one that was configured.
func openChecked(e Entry) (*os.File, error) {
	f, err := os.Open(e.Path)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "open plugin %s", e.Name)
	}
	refuse := func(err error) (*os.File, error) {
		return nil, errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err != nil {
		return refuse(err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o002 != 0 {
		return refuse(fault.New(fault.Denied, "plugin %s: %s is not a file, or anyone may write to it", e.Name, e.Path))
	}
	want, err := hex.DecodeString(e.SHA256)
	if err != nil {
		return refuse(err)
	}
	secure := plugin.SecureConfig{Checksum: want, Hash: sha256.New()}
	// By descriptor, so that what is checked is what will be run.
	ok, err := secure.Check("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return refuse(fmt.Errorf("check plugin %s: %w", e.Name, err))
	}
	if !ok {
		return refuse(fault.New(fault.Denied, "plugin %s: %s is not the file that was configured (its sha256 differs)", e.Name, e.Path).
			WithHint("if the new file is wanted, configure its checksum: sha256sum %s", e.Path))
	}
	return f, nil
}

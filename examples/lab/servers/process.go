package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// ProcessOptions say what to start.
type ProcessOptions struct {
	Name string // for people and the log file
	Argv []string
	Env  []string // on top of this process's own
	Dir  string
	Log  string // file that takes what it prints; appended to
}

// Process is a program that was started and is waited for.
type Process struct {
	Name string
	Log  string

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and err is set
	err  error
}

// StartProcess starts a program in a process group of its own. It is not bound
// to ctx, which is for the start only: Stop or Kill ends it.
func StartProcess(ctx context.Context, o ProcessOptions) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(o.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", o.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(o.Argv[0], o.Argv[1:]...) //nolint:noctx // it outlives the call
	cmd.Env, cmd.Dir = append(os.Environ(), o.Env...), o.Dir
	cmd.Stdout, cmd.Stderr = log, log
	// Of its own group, so that an interrupt at the terminal reaches only the
	// owner, which ends it in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	p := &Process{Name: o.Name, Log: o.Log, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// PID returns the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the process to end (SIGTERM) and kills it when it has not within
// the time; that is an error. It may be called twice.
func (p *Process) Stop(within time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(within):
		return errors.Join(fmt.Errorf("%s did not end within %s of SIGTERM", p.Name, within), p.Kill())
	}
}

// Kill ends the process at once (SIGKILL) and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(20 * time.Second): // stuck in the kernel
		return fmt.Errorf("%s (process %d) did not end by SIGKILL", p.Name, p.PID())
	}
}

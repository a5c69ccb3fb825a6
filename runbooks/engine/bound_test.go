package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/internal/remote/ssh"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/run"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

const (
	shortTimeout = 4 * time.Second
	// scheduling is what a busy machine may be late by; a step that nobody ends is
	// at work for a minute.
	scheduling = 30 * time.Second
)

// lingering is a step whose processes hold a fifo open.
const lingering = `
  probes: {never: {probe: file.lines, with: {path: DIR/never}}}
  steps:
    - id: linger
      effect: write
      run: [sh, -c, "ON_TERM; exec 9>\"$1\"; sleep 60 & echo x >&9; sleep 60; exit 3", sh, FIFO]
      timeout: 4s
      verify: {that: never.n > 0}
      undo: none
`

// lingerer watches the fifo of a lingering step.
type lingerer struct {
	fifo  string
	begun chan time.Time
	gone  chan time.Time // closed by the last process of the step
}

func newLingerer(t *testing.T) *lingerer {
	t.Helper()
	l := &lingerer{fifo: filepath.Join(t.TempDir(), "alive"), begun: make(chan time.Time, 1), gone: make(chan time.Time, 1)}
	if err := syscall.Mkfifo(l.fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		f, err := os.Open(l.fifo)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if _, err := f.Read(make([]byte, 1)); err == nil {
			l.begun <- time.Now()
		}
		_, _ = io.Copy(io.Discard, f)
		l.gone <- time.Now()
	}()
	return l
}

func await(t *testing.T, c <-chan time.Time, what string) time.Time {
	t.Helper()
	select {
	case at := <-c:
		return at
	case <-time.After(2 * time.Minute):
		t.Fatalf("the step's command has not %s", what)
		return time.Time{}
	}
}

// endsByItself fails unless the target ends the command at its time, when it has been cut off from who started it.
func (l *lingerer) endsByItself(t *testing.T, begun time.Time) {
	t.Helper()
	took := await(t, l.gone, "ended").Sub(begun)
	if most := remote.EndsWithin(shortTimeout) + scheduling; took > most {
		t.Errorf("the command was at work for %s, at most %s is allowed", took, most)
	}
	if took < shortTimeout/2 { // it had begun before this test heard of it
		t.Errorf("the command was at work for %s only: what cut it off has ended it", took)
	}
}

// runner says to the process that is killed what it runs the step on.
type runner struct {
	Fifo       string
	OnTerm     string // what the step's shell does first
	KnownHosts []string
	Identities []string
	Host       *ssh.Host // nil: this machine
}

const runnerVariable = "SECONDLINE_TEST_RUNNER"

func lingeringWorld(t *testing.T, r runner) *world {
	t.Helper()
	fifo, err := json.Marshal(r.Fifo)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, strings.NewReplacer("FIFO", string(fifo), "ON_TERM", r.OnTerm).Replace(lingering))
	if r.Host != nil {
		d, err := ssh.NewDialer(ssh.Options{KnownHosts: r.KnownHosts, Identities: r.Identities})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		w.machine.Runner = remote.Open(remotetest.DialHost(t, d, *r.Host), remote.Options{Gate: remote.AllowAll(), Redactor: nothingSecret{}})
	}
	return w
}

// TestRunnerProcess is the process that is killed, when it is started as such.
func TestRunnerProcess(t *testing.T) {
	text := os.Getenv(runnerVariable)
	if text == "" {
		t.Skip("it is started by TestATargetEndsTheCommandOfAKilledRunner")
	}
	var r runner
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	w := lingeringWorld(t, r)
	w.run(t.Context())
}

func TestATargetEndsTheCommandOfAKilledRunner(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		onTerm string
		host   func(t *testing.T) *remotetest.SSHD
	}{
		"local and ignoring TERM": {"trap '' TERM", func(*testing.T) *remotetest.SSHD { return nil }},
		"ssh in process":          {":", func(t *testing.T) *remotetest.SSHD { t.Helper(); return remotetest.StartInProcess(t) }},
		"OpenSSH":                 {":", func(t *testing.T) *remotetest.SSHD { t.Helper(); return remotetest.StartSSHD(t) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLingerer(t)
			r := runner{Fifo: l.fifo, OnTerm: c.onTerm}
			if s := c.host(t); s != nil {
				r.KnownHosts, r.Identities, r.Host = s.Options.KnownHosts, s.Options.Identities, &s.Target
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRunnerProcess$")
			process.Env = append(os.Environ(), runnerVariable+"="+string(text), "TMPDIR="+t.TempDir())
			process.Stdout, process.Stderr = t.Output(), t.Output()
			if err := process.Start(); err != nil {
				t.Fatal(err)
			}
			begun := await(t, l.begun, "begun")
			if err := process.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = process.Wait()
			l.endsByItself(t, begun)
		})
	}
}

func TestATargetEndsTheCommandOfABrokenConnection(t *testing.T) {
	t.Parallel()
	s, l := remotetest.StartInProcess(t), newLingerer(t)
	w := lingeringWorld(t, runner{Fifo: l.fifo, OnTerm: ":", KnownHosts: s.Options.KnownHosts, Identities: s.Options.Identities, Host: &s.Target})
	ended := make(chan runbooks.RunResult, 1)
	digest := w.plan().Digest
	go func() {
		res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
		if err != nil {
			t.Error(err)
		}
		ended <- res
	}()
	begun := await(t, l.begun, "begun")
	s.DropConnections()
	w.status(<-ended, runbooks.RunUnknown, runbooks.StepUnknown)
	l.endsByItself(t, begun)
}

// looksFirst is an action that reads before it acts.
type looksFirst struct{ run.Action }

func (l looksFirst) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	if _, err := env.Read(ctx, "look"); err != nil {
		return engine.Outcome{}, err
	}
	return l.Action.Apply(ctx, env, c)
}

// slowToRead answers a read as late as it may.
type slowToRead struct{ remote.Runner }

func (s slowToRead) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if cmd.Effect != remote.Read {
		return s.Runner.Run(ctx, cmd)
	}
	late := time.NewTimer(time.Hour)
	defer late.Stop()
	select {
	case <-ctx.Done():
	case <-late.C:
	}
	return remote.Result{}, nil
}

// What begins later could be at work when a "no" is believed.
func TestNoCommandOfAStepBeginsAfterItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, `
  probes: {never: {probe: file.lines, with: {path: DIR/never}}}
  steps:
    - id: act
      effect: write
      run: [touch, DIR/acted]
      timeout: 1m
      preserve: none
      undo: none
      repeat: never
      verify: {that: never.n > 0}
`)
		w.deps.Actions = []engine.Action{looksFirst{}}
		began := time.Now()
		res, err := engine.Run(t.Context(), slowToRead{w.machine}, w.binding(), engine.Approved{Digest: w.plan().Digest}, w.deps)
		if err != nil {
			t.Fatal(err)
		}
		w.status(res, runbooks.RunFailed)
		if _, err := os.Lstat(w.dir + "/acted"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it acted after its time: %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the step took %s", took)
		}
	})
}

package cron_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/cron"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// machine is this machine with a cron.daily of its own.
type machine struct {
	t             *testing.T
	above, script string
	ran           string // the file that the script writes
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("cron runs its scripts as root")
	}
	dir := t.TempDir()
	m := &machine{t: t, above: dir, script: filepath.Join(dir, "cron.daily", "rotate"), ran: filepath.Join(dir, "ran")}
	if err := os.Mkdir(filepath.Dir(m.script), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write("#!/bin/sh\necho \"$HOME $LOGNAME $SHELL $PATH\" >>" + m.ran + "\necho done\n")
	return m
}

func (m *machine) write(text string) {
	m.t.Helper()
	if err := os.WriteFile(m.script, []byte(text), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) story(script string) *actiontest.Story {
	m.t.Helper()
	spec := "  inputs: {script: {type: string}, ran: {type: path}}\n  probes: {ran: {probe: file.text, with: {path: \"${inputs.ran}\"}}}\n" +
		"  steps:\n    - id: act\n      cron: {script: \"${inputs.script}\"}\n      as: root\n      verify: {that: ran.exists, within: 1s}\n      undo: none\n"
	s := actiontest.New(m.t, cron.Action{Above: m.above}, actiontest.Local(), spec, map[string]string{"script": script, "ran": m.ran})
	s.Host.Before = func(cmd remote.Command) error { // a test needs no sudo to be root
		if cmd.As != "root" {
			m.t.Errorf("run as %q: %q", cmd.As, cmd.Argv)
		}
		return nil
	}
	return s
}

func (m *machine) runs() int {
	text, _ := os.ReadFile(m.ran) // not there: none
	return bytes.Count(text, []byte("\n"))
}

func TestAScriptIsRunAsCronWould(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := m.story(m.script)
	p := s.Plan()
	if step := p.Steps[0]; !strings.Contains(step.Diff, m.script) || !strings.Contains(step.Diff, "sha256 ") || step.Undo != "none" || len(step.Touches) != 1 {
		t.Errorf("plan %+v", step)
	}
	s.Want(s.RunPlan(p), runbooks.RunVerified, "")
	text, err := os.ReadFile(m.ran)
	m.must(err)
	if got, want := string(text), "/root root /bin/sh /usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin\n"; got != want {
		t.Errorf("environment %q, want %q", got, want)
	}
}

func TestAScriptThatFailsIsAFailure(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("#!/bin/sh\necho one >>" + m.ran + "\nexit 3\n")
	s := m.story(m.script)
	s.Want(s.Run(), runbooks.RunRefuted, "exit status 3")
	if m.runs() != 1 {
		t.Errorf("it was run %d times", m.runs())
	}
}

func TestOnlyWhatCronWouldRunIsRun(t *testing.T) {
	t.Parallel()
	for why, tt := range map[string]struct {
		change func(m *machine)
		name   string // below the folder above; "" is the script
		kind   fault.Kind
	}{
		"could be written by others":                      {change: func(m *machine) { m.must(os.Chmod(m.script, 0o775)) }, kind: fault.Denied},
		"could be written by others: anybody":             {change: func(m *machine) { m.must(os.Chmod(m.script, 0o757)) }, kind: fault.Denied},
		"could be written by others than root (uid 12345": {change: func(m *machine) { m.must(os.Chown(m.script, 12345, 0)) }, kind: fault.Denied},
		"cron.daily could be written":                     {change: func(m *machine) { m.must(os.Chmod(filepath.Dir(m.script), 0o777)) }, kind: fault.Denied},
		"switched off":                                    {change: func(m *machine) { m.must(os.Chmod(m.script, 0o644)) }, kind: fault.Denied},
		"no regular file": {change: func(m *machine) {
			m.must(os.Rename(m.script, m.script+"-real"))
			m.must(os.Symlink(m.script+"-real", m.script))
		}, kind: fault.Denied},
		"no regular file: folder": {change: func(m *machine) { m.must(os.Mkdir(m.script+"s", 0o755)) }, name: "cron.daily/rotates", kind: fault.Denied},
		"no folder": {change: func(m *machine) {
			m.must(os.Rename(filepath.Dir(m.script), m.above+"/real"))
			m.must(os.Symlink(m.above+"/real", filepath.Dir(m.script)))
		}, kind: fault.Denied},
		"no such file":       {name: "cron.daily/none", kind: fault.NotFound},
		"not a name":         {name: "cron.daily/rotate.dpkg-old", kind: fault.Invalid},
		"not a name: space":  {name: "cron.daily/a b", kind: fault.Invalid},
		"holds control":      {name: "cron.daily/rotate\n", kind: fault.Invalid},
		"not directly: dots": {name: "cron.daily/..", kind: fault.Invalid},
		"not directly":       {name: "cron.daily/sub/rotate", kind: fault.Invalid},
		"not directly: way":  {name: "cron.daily/../cron.daily/rotate", kind: fault.Invalid},
		"not directly: d":    {name: "cron.d/rotate", kind: fault.Invalid},
		"not directly: none": {name: "cron.daily", kind: fault.Invalid},
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			if tt.change != nil {
				tt.change(m)
			}
			name := m.script
			if tt.name != "" {
				name = m.above + "/" + tt.name
			}
			says, _, _ := strings.Cut(why, ":")
			if _, err := m.story(name).TryPlan(); err == nil || fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v (%s), want %s because %q", err, fault.KindOf(err), tt.kind, says)
			}
			if m.runs() != 0 {
				t.Error("it was run")
			}
		})
	}
}

func TestAScriptThatChangedSinceThePlanIsNotRun(t *testing.T) {
	t.Parallel()
	for why, change := range map[string]func(m *machine){
		"was changed by somebody else": func(m *machine) { m.write("#!/bin/sh\necho x >>" + m.ran + "\n") },
		"could be written by others":   func(m *machine) { m.must(os.Chmod(m.script, 0o777)) },
	} {
		m := newMachine(t)
		s := m.story(m.script)
		s.Deps.OnEvent = func(e engine.Event) {
			if e.Status == runbooks.StepRunning {
				change(m)
			}
		}
		s.Want(s.Run(), runbooks.RunFailed, why)
		if m.runs() != 0 {
			t.Error("it was run")
		}
	}
}

// TestAScriptAtWorkIsNotStartedBesideItself plays the answers of ps and id.
func TestAScriptAtWorkIsNotStartedBesideItself(t *testing.T) {
	t.Parallel()
	for ps, busy := range map[string]bool{
		"/bin/sh %s\n": true,
		"run-parts --report x\n/bin/sh -e %s now\n": true,
		"vi %s.old\n": false,
		"":            false,
	} {
		m := newMachine(t)
		s := m.story(m.script)
		real := s.Host.Runner
		s.Host.Answer = func(cmd remote.Command) actiontest.Answer {
			if cmd.Argv[0] == "ps" {
				return actiontest.Says(0, strings.ReplaceAll(ps, "%s", m.script))
			}
			res, err := real.Run(t.Context(), cmd)
			return actiontest.Answer{Known: true, Result: res, Err: err}
		}
		_, err := s.TryPlan()
		if (err != nil) != busy || busy && !strings.Contains(err.Error(), "at work right now") {
			t.Errorf("%q: %v", ps, err)
		}
	}
	m := newMachine(t)
	s := m.story(m.script)
	s.Host.Answer = func(cmd remote.Command) actiontest.Answer {
		if cmd.Argv[0] == "id" {
			return actiontest.Says(0, "1000\n")
		}
		return actiontest.Answer{}
	}
	if _, err := s.TryPlan(); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "as user 1000") {
		t.Errorf("another user than root: %v", err)
	}
}

func TestAfterACrashAScriptIsNotRunAgain(t *testing.T) {
	t.Parallel()
	statuses := map[runbooks.RunStatus]int{}
	for dieAt := 1; dieAt <= 4; dieAt++ {
		m := newMachine(t)
		res := m.story(m.script).Crash(dieAt)
		statuses[res.Status]++
		if m.runs() > 1 {
			t.Errorf("killed at %d: run %d times", dieAt, m.runs())
		}
	}
	if statuses[runbooks.RunUnknown] == 0 {
		t.Errorf("no crash left it unknown: %v", statuses)
	}
	if got := (cron.Action{}).DidItHappen(t.Context(), nil, engine.Change{}, time.Now()); got.Truth != expr.CannotTell {
		t.Errorf("it says that it happened: %v", got)
	}
}

func TestALostConnectionIsLeftToAPerson(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	s := m.story(m.script)
	s.Host.After = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost}
	}
	s.Want(s.Run(), runbooks.RunUnknown, "leaves nothing that tells")
	if m.runs() != 1 {
		t.Errorf("it was run %d times", m.runs())
	}
}

func TestDecodingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for part, why := range map[string]string{
		"{}":                                     "script",
		"{script: /etc/cron.daily/a, now: true}": "now",
		"{script: [a]}":                          "one value is expected",
		"{script: /etc/cron.d/a}":                "not directly in one of /etc/cron.hourly",
		"{script: /etc/crontab}":                 "not directly",
		"{script: cron.daily/a}":                 "not directly",
		"{script: /etc/cron.daily/a.bak}":        "not a name that cron takes",
		`{script: "${inputs.x}"}`:                "unknown name",
	} {
		spec := "  steps:\n    - id: act\n      cron: " + part + "\n      undo: none\n"
		if _, err := actiontest.Parse(cron.Action{}, spec); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", part, err, why)
		}
	}
	if _, err := actiontest.Parse(cron.Action{}, "  steps:\n    - id: act\n      cron: {script: /etc/cron.daily/a}\n      undo: none\n"); err == nil ||
		!strings.Contains(err.Error(), "does not check itself") {
		t.Errorf("a job without verification: %v", err)
	}
}

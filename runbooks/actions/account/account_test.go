package account_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/account"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// hash is none of a password, and must be seen nowhere.
const hash = "$y$j9T$never$shown"

// house is a folder with accounts, on which the real usermod works.
type house struct {
	t    *testing.T
	root string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	if _, err := exec.LookPath("usermod"); err != nil || os.Getuid() != 0 {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatal("usermod and root are needed")
		}
		t.Skip("usermod and root are needed")
	}
	h := &house{t, t.TempDir()}
	if err := os.Mkdir(filepath.Join(h.root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.write("passwd", "root:x:0:0::/root:/bin/sh\ndeploy:x:998:998::/srv:/bin/sh\nnone:x:997:998::/srv:/bin/sh\nopen:x:996:998::/srv:/bin/sh\nlocked:x:995:998::/srv:/bin/sh\n")
	h.write("group", "root:x:0:\ndeploy:x:998:\n")
	h.write("shadow", "root:"+hash+":1::::::\ndeploy:"+hash+":20000::::::\nnone:!*:20000::::::\nopen::20000::::::\nlocked:!"+hash+":20000::::::\n")
	return h
}

func (h *house) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.root, "etc", name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// shadow returns the entry of the account.
func (h *house) shadow(name string) string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.root, "etc", "shadow"))
	if err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+":") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func (h *house) story(name, state, more string) *actiontest.Story {
	h.t.Helper()
	spec := "  inputs: {name: {type: string}, flag: {type: path}}\n  probes: {flag: {probe: file.text, with: {path: \"${inputs.flag}\"}}}\n" +
		"  steps:\n    - id: act\n      account: {name: \"${inputs.name}\", password: " + state + "}\n" + more
	return actiontest.New(h.t, account.Action{Root: h.root}, actiontest.Local(), spec, map[string]string{"name": name, "flag": h.root + "/flag"})
}

const refuted = "      verify: {that: flag.exists, within: 1ms}\n"

func TestAPasswordIsLockedAndUnlocked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, step := range []struct{ state, want string }{{"locked", "!" + hash}, {"unlocked", hash}} {
		s := h.story("deploy", step.state, "")
		p := s.Plan()
		s.Want(s.RunPlan(p), runbooks.RunVerified, "")
		if got := h.shadow("deploy"); got != "deploy:"+step.want+":20000::::::" {
			t.Errorf("%s: %s", step.state, got)
		}
		if !strings.Contains(p.Steps[0].Diff, "+password: "+step.state) || !strings.Contains(p.Steps[0].Undo, "usermod") || len(p.Steps[0].Touches) < 3 {
			t.Errorf("plan %+v", p.Steps[0])
		}
		again := h.story("deploy", step.state, "")
		if p := again.Plan(); !p.Steps[0].Noop {
			t.Errorf("a second time it would do %+v", p.Steps[0])
		}
		again.Want(again.Run(), runbooks.RunVerified, "")
		if len(again.Host.Writes()) != 0 {
			t.Errorf("it wrote %v", again.Host.Writes())
		}
	}
	if h.shadow("root") != "root:"+hash+":1::::::" {
		t.Error("another account was changed")
	}
}

func TestTheHashIsSeenNowhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.story("deploy", "locked", "")
	seen := ""
	s.Deps.OnEvent = func(e engine.Event) { seen += e.Text + string(e.Output) }
	p := s.Plan()
	res := s.RunPlan(p)
	for _, step := range res.Steps {
		for _, e := range step.Transcript {
			seen += e.Command + e.Stdout + e.Stderr
		}
		seen += strings.Join(step.Measured, " ")
	}
	records, _ := s.Journal.Records()
	for _, r := range records {
		seen += string(r.Data)
	}
	if seen += p.Steps[0].Diff; strings.Contains(seen, "never") || !strings.Contains(seen, "locked") {
		t.Errorf("seen: %s", seen)
	}
}

func TestWhatWasRefutedIsUnlockedAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.story("deploy", "locked", refuted)
	s.Want(s.Run(), runbooks.RunUndone, "")
	if got := h.shadow("deploy"); got != "deploy:"+hash+":20000::::::" {
		t.Errorf("got %s", got)
	}
}

func TestAPasswordThatSomebodySetSinceIsLeftAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.story("deploy", "locked", refuted)
	s.Deps.OnEvent = func(e engine.Event) {
		if e.Status == runbooks.StepUndoing {
			h.write("shadow", "deploy:!$y$other:20001::::::\n")
		}
	}
	res := s.Run()
	if res.Steps[0].Status != runbooks.StepStuck || !strings.Contains(res.Steps[0].Error, "somebody else has changed the password") {
		t.Errorf("got %+v", res.Steps[0])
	}
	if h.shadow("deploy") != "deploy:!$y$other:20001::::::" {
		t.Error("it was changed")
	}

	h = newHouse(t)
	s = h.story("deploy", "locked", "")
	s.Deps.OnEvent = func(e engine.Event) {
		if e.Status == runbooks.StepRunning {
			h.write("shadow", "deploy:$y$other:20001::::::\n")
		}
	}
	s.Want(s.Run(), runbooks.RunFailed, "was changed by somebody else")
	if h.shadow("deploy") != "deploy:$y$other:20001::::::" {
		t.Error("it was changed")
	}
}

func TestWhatHasNoWayBackIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, tt := range []struct {
		name, state, why string
		kind             fault.Kind
	}{
		{"root", "locked", "a matter for people", fault.Invalid},
		{"nobody-here", "locked", "no local account", fault.NotFound},
		{"open", "locked", "asks for no password", fault.Denied},
		{"none", "unlocked", "no password that could be unlocked", fault.Denied},
		{"deploy:x", "locked", "not the name", fault.Invalid},
		{"../deploy", "locked", "not the name", fault.Invalid},
		{"Deploy", "locked", "not the name", fault.Invalid},
		{"a b", "locked", "not the name", fault.Invalid},
		{strings.Repeat("a", 33), "locked", "not the name", fault.Invalid},
	} {
		if _, err := h.story(tt.name, tt.state, "").TryPlan(); fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: got %v, want %s because %q", tt.name, err, tt.kind, tt.why)
		}
	}
	for name, noop := range map[string]bool{"none": true, "locked": true, "deploy": false} {
		if p := h.story(name, "locked", "").Plan(); p.Steps[0].Noop != noop {
			t.Errorf("%s: %+v", name, p.Steps[0])
		}
	}
	if err := os.Chmod(filepath.Join(h.root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(h.root, "etc", "shadow")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.story("deploy", "locked", "").TryPlan(); err == nil {
		t.Error("an account was planned that nobody could look at")
	}
}

func TestAfterACrashItIsAsked(t *testing.T) {
	t.Parallel()
	for dieAt := 1; dieAt <= 4; dieAt++ {
		h := newHouse(t)
		s := h.story("deploy", "locked", "")
		s.Want(s.Crash(dieAt), runbooks.RunVerified, "")
		if n := len(s.Host.Writes()); n != 1 || h.shadow("deploy") != "deploy:!"+hash+":20000::::::" {
			t.Errorf("killed at %d: %d commands, %s", dieAt, n, h.shadow("deploy"))
		}
	}
}

func TestALostConnectionIsResolvedByLooking(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.story("deploy", "locked", "")
	s.Host.After = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost}
	}
	s.Want(s.Run(), runbooks.RunVerified, "")
}

func TestAProgramThatOnlySaysSoIsNotBelieved(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.story("deploy", "locked", "      verify: {within: 1ms}\n")
	real := s.Host.Runner
	s.Host.Answer = func(cmd remote.Command) actiontest.Answer {
		if cmd.Argv[0] == "usermod" {
			return actiontest.Says(0, "")
		}
		res, err := real.Run(t.Context(), cmd)
		return actiontest.Answer{Known: true, Result: res, Err: err}
	}
	s.Want(s.Run(), runbooks.RunUndone, "is set")
}

func TestDecodingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for part, why := range map[string]string{
		"{name: deploy}":                          "password",
		"{password: locked}":                      "name",
		"{name: root, password: locked}":          "a matter for people",
		"{name: deploy, password: hunter2}":       "password is one of",
		"{name: -x, password: locked}":            "not the name",
		"{name: [a], password: locked}":           "one value is expected",
		"{name: a, password: locked, shell: sh}":  "shell",
		`{name: "${inputs.x}", password: locked}`: "unknown name",
	} {
		spec := "  steps:\n    - id: act\n      account: " + part + "\n"
		if _, err := actiontest.Parse(account.Action{}, spec); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", part, err, why)
		}
	}
}

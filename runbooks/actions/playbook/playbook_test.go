package playbook_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/playbook"
)

// ansible is a strict fake that says what ansible-playbook [core 2.14.18] of
// Debian 12 says; see the recap of the real one below.
type ansible struct {
	t       *testing.T
	dir     string
	check   string // the counts of the recap when it is checked
	run     string // and when it is run
	exit    int    // when it is run
	host    string
	checked int
}

func newAnsible(t *testing.T) *ansible {
	t.Helper()
	a := &ansible{t: t, dir: t.TempDir(), host: "localhost"}
	a.check = "ok=2    changed=1    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0   "
	a.run = "ok=3    changed=2    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0   "
	a.write("site.yml", "- hosts: all\n")
	return a
}

func (a *ansible) write(name, text string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *ansible) answer(cmd remote.Command) actiontest.Answer {
	want := []string{
		"ansible-playbook", "--check", "--diff", "--inventory", "localhost,", "--connection", "local", "--limit", "localhost",
		"--extra-vars", `{"word":"a b"}`, "--", filepath.Join(a.dir, "site.yml"),
	}
	counts, exit := a.check, 0
	if cmd.Effect != remote.Read {
		want, counts, exit = slices.Delete(want, 1, 2), a.run, a.exit
		a.write("out", "done")
	}
	if !slices.Equal(cmd.Argv, want) || cmd.Env["ANSIBLE_NOCOLOR"] != "1" {
		return actiontest.Answer{}
	}
	a.checked++
	out := fmt.Sprintf("\nPLAY [all] ****%[1]s\n\nTASK [write a file] ****%[1]s\n--- before\n+++ after: /root/.ansible/tmp/ansible-local-%[2]d/tmpm3n\n@@ -0,0 +1 @@\n+a b\n\n"+
		"changed: [localhost]\n\nPLAY RECAP *****\n%[3]s                  : %[4]s\n\n", strings.Repeat("*", a.checked), a.checked, a.host, counts)
	if exit != 0 {
		out = "fatal: [localhost]: FAILED! => no room\n" + out
	}
	return actiontest.Says(exit, out)
}

func spec(dir, vars string) string {
	return fmt.Sprintf("\n  inputs: {word: {type: string, default: a b}}\n  probes: {out: {probe: file.text, with: {path: %q}}}\n  steps:\n    - id: act\n"+
		"      playbook: {path: %q, limit: localhost, extra_vars: %s}\n      undo: none\n      verify: {that: out.exists, within: 300ms}\n",
		filepath.Join(dir, "out"), filepath.Join(dir, "site.yml"), vars)
}

const word = `{word: "${inputs.word}"}`

func (a *ansible) story() *actiontest.Story {
	a.t.Helper()
	return actiontest.New(a.t, playbook.Action{}, actiontest.Fake(a.t, a.answer), spec(a.dir, word), nil)
}

func TestTheCheckIsThePlan(t *testing.T) {
	t.Parallel()
	a := newAnsible(t)
	s := a.story()
	p := s.Plan()
	for _, want := range []string{"--- playbook " + a.dir + "/site.yml, sha256 ", "TASK [write a file]\n", "+++ after: (a temporary file)\n", "+a b\n"} {
		if !strings.Contains(p.Steps[0].Diff, want) {
			t.Errorf("the plan lacks %q:\n%s", want, p.Steps[0].Diff)
		}
	}
	res := s.RunPlan(p)
	s.Want(res, runbooks.RunVerified, "")
	if n := len(s.Host.Writes()); n != 1 || !strings.HasPrefix(res.Steps[0].Changed, "ok=3 changed=2") {
		t.Errorf("%d commands wrote, and it changed %q", n, res.Steps[0].Changed)
	}
}

func TestAPlaybookWithNothingToDoIsNotRun(t *testing.T) {
	t.Parallel()
	a := newAnsible(t)
	a.write("out", "")
	a.check = "ok=2 changed=0 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0"
	for range 2 {
		s := a.story()
		s.Want(s.Run(), runbooks.RunVerified, "")
		if len(s.Host.Writes()) != 0 {
			t.Error("it was run")
		}
	}
	a.check = "ok=2 changed=0 unreachable=0 failed=0 skipped=1 rescued=0 ignored=0" // a command, perhaps
	if a.story().Plan().Steps[0].Noop {
		t.Error("what was skipped counts as done")
	}
}

func TestWhatFailsOrGoesElsewhereIsNotPlanned(t *testing.T) {
	t.Parallel()
	for why, set := range map[string]func(a *ansible){
		"fails when it is checked":  func(a *ansible) { a.check = "ok=1 changed=0 unreachable=0 failed=1" },
		"unreachable=1":             func(a *ansible) { a.check = "ok=1 changed=0 unreachable=1 failed=0" },
		`went to "db1"`:             func(a *ansible) { a.host = "db1" },
		"gave the recap":            func(a *ansible) { a.check = "ok=many" },
		"no such file or directory": func(a *ansible) { _ = os.Remove(filepath.Join(a.dir, "site.yml")) },
	} {
		a := newAnsible(t)
		set(a)
		if _, err := a.story().TryPlan(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestAPlaybookThatFailsIsRefuted(t *testing.T) {
	t.Parallel()
	a := newAnsible(t)
	a.exit, a.run = 2, "ok=1 changed=1 unreachable=0 failed=1 skipped=0 rescued=0 ignored=0"
	s := a.story()
	s.Want(s.Run(), runbooks.RunRefuted, "FAILED! => no room")
}

func TestAPlaybookThatWasEditedSinceIsNotRun(t *testing.T) {
	t.Parallel()
	a := newAnsible(t)
	s := a.story()
	p := s.Plan()
	a.write("site.yml", "- hosts: all\n  tasks: []\n")
	s.Want(s.RunPlan(p), runbooks.RunRefused, "what it would change is no longer what was approved")
	if len(s.Host.Writes()) != 0 {
		t.Error("it was run")
	}
}

func TestAPlaybookIsNeverRepeated(t *testing.T) {
	t.Parallel()
	for dieAt := 1; dieAt <= 5; dieAt++ {
		a := newAnsible(t)
		s := a.story()
		res := s.Crash(dieAt)
		if n := len(s.Host.Writes()); n > 1 || res.Status == runbooks.RunVerified && n != 1 {
			t.Errorf("killed at %d: run %d times, and the run is %s", dieAt, n, res.Status)
		}
		if dieAt == 3 && res.Status != runbooks.RunUnknown {
			t.Errorf("killed at %d: %s (%s)", dieAt, res.Status, res.Why)
		}
	}
	a := newAnsible(t)
	s := a.story()
	s.Host.After = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost}
	}
	s.Want(s.Run(), runbooks.RunUnknown, "")
}

func TestWhatAnsibleWouldEvaluateIsRefused(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"{{ lookup('pipe', 'id') }}", "{% set x = 1 %}", "{# x #}", "a{{b"} {
		a := newAnsible(t)
		s := actiontest.New(t, playbook.Action{}, actiontest.Fake(t, a.answer), spec(a.dir, word), map[string]string{"word": value})
		if _, err := s.TryPlan(); err == nil || !strings.Contains(err.Error(), "would be evaluated") {
			t.Errorf("%q: %v", value, err)
		}
	}
	for _, part := range []string{
		"{path: site.yml}", "{path: /a/../b}", "{path: /a, limit: all}", "{path: /a, inventory: /etc/hosts}", `{path: /a, extra_vars: {ansible_user: root}}`,
		`{path: /a, extra_vars: {"a b": x}}`, `{path: /a, extra_vars: {a: "{{ x }}"}}`, `{path: /a, extra_vars: {a: "${nobody}"}}`, "{}", "[]",
	} {
		text := "\n  probes: {out: {probe: file.text, with: {path: /x}}}\n  steps:\n    - id: act\n      playbook: " + part + "\n      undo: none\n      verify: {that: out.exists}\n"
		if _, err := actiontest.Parse(playbook.Action{}, text); err == nil {
			t.Errorf("%s was accepted", part)
		}
	}
	if _, err := actiontest.Parse(playbook.Action{}, "\n  steps:\n    - id: act\n      playbook: {path: /a}\n      undo: none\n"); err == nil {
		t.Error("a playbook without verification was accepted")
	}
}

func TestTheRealAnsible(t *testing.T) {
	t.Parallel()
	remotetest.Need(t, "ansible-playbook")
	a := newAnsible(t)
	a.write("site.yml", "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {dest: \""+a.dir+"/out\", content: \"{{ word }}\\n\"}\n")
	value := `a'b"c $(id) \n`
	s := actiontest.New(t, playbook.Action{}, actiontest.Local(), spec(a.dir, word), map[string]string{"word": value})
	s.Want(s.Run(), runbooks.RunVerified, "")
	if got, err := os.ReadFile(filepath.Join(a.dir, "out")); err != nil || string(got) != value+"\n" {
		t.Errorf("it wrote %q, %v", got, err)
	}
	if !s.Plan().Steps[0].Noop {
		t.Error("it would be run again")
	}
}

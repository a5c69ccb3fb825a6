package script_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/script"
)

// story is a step that writes a file, which is then looked at.
func story(t *testing.T, interpreter, body string, given map[string]string) (s *actiontest.Story, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "out")
	return actiontest.New(t, script.Action{}, actiontest.Local(), spec(interpreter, body, file), given), file
}

func spec(interpreter, body, file string) string {
	return fmt.Sprintf(`
  inputs:
    word: {type: string, default: plain}
  probes: {out: {probe: file.text, with: {path: %q}}}
  steps:
    - id: act
      script:
        interpreter: %s
        env: {WORD: "${inputs.word}", OUT: %q}
        body: |
%s
      timeout: 20s
      verify: {that: out.exists, within: 100ms}
      undo: none
`, file, interpreter, file, "          "+strings.ReplaceAll(body, "\n", "\n          "))
}

func TestValuesArriveAsVariablesAndNothingElse(t *testing.T) {
	t.Parallel()
	hostile := `a"; touch "$OUT.pwned"; $(touch $OUT.pwned) ` + "`touch $OUT.pwned`" + ` '$HOME' \n %s`
	for interpreter, body := range map[string]string{
		"[sh, -eu]":              `printf %s "$WORD" >"$OUT"`,
		"[bash, -o, pipefail]":   `printf %s "$WORD" >"$OUT"`,
		"sh":                     "# a comment\nprintf %s \"$WORD\" >\"$OUT\"\n# the end",
		"[/bin/sh, -e]":          "if true\nthen printf %s \"$WORD\" >\"$OUT\"; fi",
		"[/usr/bin/perl, -w]":    `open(my $f, ">", $ENV{OUT}) or die; print $f $ENV{WORD}; close $f`,
		"[/usr/bin/env-is-no]":   "",
		"[/usr/bin/python3, -I]": "import os\nwith open(os.environ['OUT'], 'w') as f:\n    f.write(os.environ['WORD'])",
	} {
		t.Run(interpreter, func(t *testing.T) {
			t.Parallel()
			if body == "" {
				if _, err := actiontest.Parse(script.Action{}, spec(interpreter, "true", "/x")); err == nil {
					t.Error("it was accepted")
				}
				return
			}
			if program := strings.Trim(strings.Split(interpreter, ",")[0], "[]"); strings.HasPrefix(program, "/") {
				remotetest.Need(t, program)
			}
			s, file := story(t, interpreter, body, map[string]string{"word": hostile})
			res := s.Run()
			s.Want(res, runbooks.RunVerified, "")
			got, _ := os.ReadFile(file)
			if string(got) != hostile {
				t.Errorf("the script saw %q", got)
			}
			if _, err := os.Stat(file + ".pwned"); err == nil {
				t.Error("a value was executed")
			}
			for _, cmd := range s.Host.Writes() {
				if strings.Contains(strings.Join(cmd.Argv, " ")+string(cmd.Stdin), "pwned") {
					t.Errorf("the value is in %q %q", cmd.Argv, cmd.Stdin)
				}
			}
		})
	}
}

func TestTheScriptIsPartOfWhatIsApproved(t *testing.T) {
	t.Parallel()
	s, _ := story(t, "[sh, -eu]", "echo one >\"$OUT\"\n", map[string]string{"word": "x\n+touch /etc/fake"})
	if _, err := s.TryPlan(); err == nil {
		t.Error("a value with a line break was bound")
	}
	s, file := story(t, "[sh, -eu]", "echo one >\"$OUT\"\n", nil)
	p := s.Plan()
	want := fmt.Sprintf("--- script\n$OUT = %q\n$WORD = \"plain\"\n+echo one >\"$OUT\"\n", file)
	if got := p.Steps[0].Diff; got != want {
		t.Errorf("the plan shows\n%s\nwant\n%s", got, want)
	}
	if len(s.Host.Writes()) != 0 {
		t.Error("planning ran something")
	}
	other, err := actiontest.Parse(script.Action{}, spec("[sh, -eu]", "echo two >\"$OUT\"\n", file))
	if err != nil {
		t.Fatal(err)
	}
	other.Digest = s.Binding.Runbook.Digest // only the script differs
	s.Binding.Runbook = other
	s.Want(s.RunPlan(p), runbooks.RunRefused, "what it would change is no longer what was approved")
}

func TestACommandThatReadsDoesNotSwallowTheScript(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"sh", "bash"} {
		s, file := story(t, shell, "cat >\"$OUT.read\"\necho end >\"$OUT\"", nil)
		s.Want(s.Run(), runbooks.RunVerified, "")
		if got, err := os.ReadFile(file + ".read"); err != nil || len(got) != 0 {
			t.Errorf("%s: the command read %q, %v", shell, got, err)
		}
	}
}

func TestHalfAScriptDoesNothing(t *testing.T) {
	t.Parallel()
	s, file := story(t, "sh", "echo one >\"$OUT\"\necho two >\"$OUT.two\"", nil)
	s.Host.Before = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		half := cmd
		half.Stdin = cmd.Stdin[:strings.Index(string(cmd.Stdin), "echo two")]
		if res, err := s.Host.Runner.Run(t.Context(), half); err != nil || res.ExitCode == 0 {
			t.Errorf("half of it: %+v, %v", res, err)
		}
		return &remote.Error{Class: remote.Lost}
	}
	s.Want(s.Run(), runbooks.RunUnknown, "whether step act happened is not known")
	if _, err := os.Stat(file); err == nil {
		t.Error("half of the script was executed")
	}
}

func TestAScriptThatFailsIsRefutedWithItsWords(t *testing.T) {
	t.Parallel()
	s, _ := story(t, "[sh, -eu]", "echo first\necho why >&2\nfalse\ntouch \"$OUT\"", nil)
	res := s.Run()
	s.Want(res, runbooks.RunRefuted, "exit status 1: why")
	if x := res.Steps[0].Transcript; len(x) != 1 || x[0].Stdout != "first\n" || x[0].Stderr != "why\n" || x[0].ExitCode != 1 {
		t.Errorf("transcript %+v", x)
	}
}

func TestAScriptIsNeverRepeated(t *testing.T) {
	t.Parallel()
	for dieAt := 1; dieAt <= 5; dieAt++ {
		s, file := story(t, "[sh, -eu]", "echo line >>\"$OUT\"", nil)
		res := s.Crash(dieAt)
		got, _ := os.ReadFile(file)
		if n := strings.Count(string(got), "\n"); n > 1 || res.Status == runbooks.RunVerified && n != 1 {
			t.Errorf("killed at %d: ran %d times, and the run is %s", dieAt, n, res.Status)
		}
		if dieAt == 3 && res.Status != runbooks.RunUnknown { // behind the intent
			t.Errorf("killed at %d: %s (%s)", dieAt, res.Status, res.Why)
		}
	}
}

func TestWhatIsNoScriptIsRefused(t *testing.T) {
	t.Parallel()
	for part, rule := range map[string]string{
		`{interpreter: sh, body: "stat ${inputs.word}"}`:                          runbooks.RuleNoShell,
		`{interpreter: sh, body: "stat ${HOME}"}`:                                 runbooks.RuleNoShell,
		`{interpreter: sh, body: "stat $${HOME}"}`:                                runbooks.RuleNoShell,
		`{interpreter: "${inputs.word}", body: "true"}`:                           "",
		`{interpreter: [sh, "${inputs.word}"], body: "true"}`:                     "",
		`{interpreter: [sh, -c], body: "true"}`:                                   runbooks.RuleForm,
		`{interpreter: [sh, -ec], body: "true"}`:                                  runbooks.RuleForm,
		`{interpreter: [sh, -o], body: "true"}`:                                   runbooks.RuleForm,
		`{interpreter: [sh, -o, history], body: "true"}`:                          runbooks.RuleForm,
		`{interpreter: [bash, --rcfile, /x], body: "true"}`:                       runbooks.RuleForm,
		`{interpreter: [python3, /x.py], body: "true"}`:                           runbooks.RuleForm,
		`{interpreter: [python3, -m], body: "true"}`:                              runbooks.RuleForm,
		`{interpreter: [perl, -e], body: "true"}`:                                 runbooks.RuleForm,
		`{interpreter: awk, body: "BEGIN {}"}`:                                    runbooks.RuleForm,
		`{interpreter: [env, sh], body: "true"}`:                                  runbooks.RuleForm,
		`{interpreter: ./sh, body: "true"}`:                                       runbooks.RuleForm,
		`{interpreter: /tmp/../bin/sh, body: "true"}`:                             runbooks.RuleForm,
		`{interpreter: [], body: "true"}`:                                         runbooks.RuleForm,
		`{interpreter: sh, body: " "}`:                                            runbooks.RuleForm,
		`{interpreter: sh, body: "true\r\n"}`:                                     runbooks.RuleForm,
		`{interpreter: sh, body: [a]}`:                                            runbooks.RuleForm,
		`{interpreter: sh}`:                                                       "",
		`{interpreter: sh, body: "true", env: {PATH: "/x"}}`:                      runbooks.RuleForm,
		`{interpreter: sh, body: "true", env: {LD_PRELOAD: "/x"}}`:                runbooks.RuleForm,
		`{interpreter: sh, body: "true", env: {BASH_ENV: "/x"}}`:                  runbooks.RuleForm,
		`{interpreter: sh, body: "true", env: {"A B": "/x"}}`:                     runbooks.RuleForm,
		`{interpreter: sh, body: "true", env: {A: [x]}}`:                          runbooks.RuleForm,
		`{interpreter: sh, body: "true", env: {A: "${nobody}"}}`:                  runbooks.RuleExpression,
		`{interpreter: sh, body: "true", env: {A: "${inputs.word}"}, cwd: /tmp}`:  "",
		fmt.Sprintf(`{interpreter: sh, body: "%s"}`, strings.Repeat("x", 65<<10)): runbooks.RuleForm,
	} {
		text := "\n  inputs: {word: {type: string}}\n  probes: {out: {probe: file.text, with: {path: /x}}}\n  steps:\n    - id: act\n" +
			"      script: " + part + "\n      verify: {that: out.exists}\n      undo: none\n"
		_, err := actiontest.Parse(script.Action{}, text)
		found := yamlx.Errors(err)
		switch {
		case len(found) == 0:
			t.Errorf("%.80s was accepted", part)
		case rule != "" && found[0].Rule != rule:
			t.Errorf("%.80s: %s, want rule %s", part, found[0].Detail(), rule)
		case rule == runbooks.RuleNoShell && !strings.Contains(found[0].Hint, `"$NAME"`):
			t.Errorf("%.80s: the hint is %q", part, found[0].Hint)
		}
	}
}

func TestAScriptSaysHowItIsVerifiedAndUndone(t *testing.T) {
	t.Parallel()
	probe := "\n  probes: {out: {probe: file.text, with: {path: /x}}}\n  steps:\n    - id: act\n      script: {interpreter: sh, body: \"true\"}\n"
	for text, ok := range map[string]bool{
		probe:                        false,
		probe + "      undo: none\n": false,
		probe + "      verify: {that: out.exists}":                                                 false,
		probe + "      verify: {that: out.exists}\n      undo: none\n":                             true,
		probe + "      verify: {that: out.exists}\n      undo: none\n      effect: read\n":         false,
		probe + "      verify: {that: out.exists}\n      undo: none\n      repeat: always\n":       false,
		probe + "      verify: {that: out.exists}\n      undo: none\n      effect: irreversible\n": true,
	} {
		if _, err := actiontest.Parse(script.Action{}, text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAnInterpreterThatIsNotThereIsNotPlanned(t *testing.T) {
	t.Parallel()
	s, _ := story(t, "/opt/nowhere/sh", "true", nil)
	if _, err := s.TryPlan(); err == nil || !strings.Contains(err.Error(), "look for the interpreter") {
		t.Errorf("got %v", err)
	}
}

// FuzzNoBodyBecomesATemplate gives the loader arbitrary scripts: what it takes
// holds no ${ and is planned as it was written.
func FuzzNoBodyBecomesATemplate(f *testing.F) {
	f.Add("echo $NAME")
	f.Add("echo $${NAME}")
	f.Add("${inputs.word}")
	f.Add("{ a\n} b $(")
	f.Fuzz(func(t *testing.T, body string) {
		if !utf8.ValidString(body) {
			return // Go's \x8f is a byte, and that of YAML a character
		}
		part := fmt.Sprintf("\n  inputs: {word: {type: string, default: x}}\n  probes: {out: {probe: file.text, with: {path: /x}}}\n  steps:\n    - id: act\n"+
			"      script: {interpreter: sh, body: %q}\n      verify: {that: out.exists}\n      undo: none\n", body)
		if _, err := actiontest.Parse(script.Action{}, part); err != nil {
			return
		}
		if strings.Contains(body, "${") {
			t.Fatalf("%q was accepted", body)
		}
		s := actiontest.New(t, script.Action{}, actiontest.Local(), part, nil)
		if got := s.Plan().Steps[0].Diff; got != "--- script\n+"+strings.ReplaceAll(strings.TrimSuffix(body, "\n"), "\n", "\n+")+"\n" {
			t.Errorf("%q is shown as %q", body, got)
		}
	})
}

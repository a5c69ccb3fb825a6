package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// nowhere is an environment in which nothing is set.
func nowhere(out io.Writer) *environment {
	return &environment{stdin: strings.NewReader(""), stdout: out, stderr: io.Discard, getenv: func(string) string { return "" }}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short %q", c.CommandPath(), c.Short)
		}
		if c.Runnable() && !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			if !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: example %q is not indented", c.CommandPath(), line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(nowhere(io.Discard)))
}

func TestPairs(t *testing.T) {
	t.Parallel()
	got, err := pairs("input", []string{"a=b", "c=d=e", "empty="})
	if want := map[string]string{"a": "b", "c": "d=e", "empty": ""}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range [][]string{{"a"}, {"=b"}, {"a=1", "a=2"}, {""}} {
		if _, err := pairs("input", bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestTargetsOfPeople(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		target, user, host string
		port               int
		local              bool
	}{
		{"db1", "", "db1", 0, false},
		{"ops@db1", "ops", "db1", 0, false},
		{"ops@db1:2222", "ops", "db1", 2222, false},
		{"a@b@db1", "a@b", "db1", 0, false},
		{"fe80::1", "", "fe80::1", 0, false},
		{"ops@[fe80::1]", "ops", "fe80::1", 0, false},
		{"localhost", "", "localhost", 0, true},
	} {
		o := reachOptions{target: c.target}
		if err := o.complete(); err != nil {
			t.Errorf("%s: %v", c.target, err)
			continue
		}
		if o.user != c.user || o.host != c.host || o.port != c.port || o.local != c.local {
			t.Errorf("%s: got %q %q %d %t", c.target, o.user, o.host, o.port, o.local)
		}
	}
	for _, bad := range []string{"", "@db1", "db1:0", "db1:ssh", "-oProxyCommand=x", "ops@-x", "a b", "db1/x", "ops@"} {
		o := reachOptions{target: bad}
		if err := o.complete(); err == nil {
			t.Errorf("%q was taken as %q", bad, o.host)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"db1", "ops@db1:22", "[fe80::1]", "-x", "@", "a@b:c:d", "\x1b[2J"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		o := reachOptions{target: target}
		if o.complete() != nil || o.local {
			return
		}
		if o.host == "" || strings.HasPrefix(o.host, "-") || strings.ContainsAny(o.host, " \t\n/") || o.port < 0 || o.port > 65535 {
			t.Errorf("%q was taken as %q port %d", target, o.host, o.port)
		}
	})
}

func FuzzOneLine(f *testing.F) {
	for _, seed := range []string{"a\nb", "\x1b[31m", "\u202e", "\xff", "\u009b2J"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := oneLine(text)
		if strings.ContainsAny(got, "\n\r\x1b\x07\u009b\u202e") {
			t.Errorf("%q became %q", text, got)
		}
	})
}

func TestOnlyThePlanThatWasSeenIsApproved(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("ab", 32)
	view := api.PlanView{Run: api.Run{ID: "run-1"}, Plan: &runbooks.Plan{Digest: digest}}
	for _, seen := range []string{digest, digest[:20], strings.TrimPrefix(digest, "sha256:")[:12]} {
		if err := samePlan(seen, view); err != nil {
			t.Errorf("%s: %v", seen, err)
		}
	}
	for seen, kind := range map[string]fault.Kind{
		"sha256:" + strings.Repeat("cd", 32): fault.Conflict, digest + "ab": fault.Conflict, "sha512:" + digest[7:]: fault.Conflict,
		digest[:10]: fault.Invalid, "": fault.Invalid, "sha256:": fault.Invalid,
	} {
		if err := samePlan(seen, view); !fault.Is(err, kind) {
			t.Errorf("%q: got %v", seen, err)
		}
	}
}

func TestExitCodeOfARun(t *testing.T) {
	t.Parallel()
	for status, want := range map[runbooks.RunStatus]int{
		runbooks.RunVerified: 0, runbooks.RunUndone: 1, runbooks.RunRefuted: 1, runbooks.RunFailed: 1, runbooks.RunCancelled: 1,
		runbooks.RunUnknown: 3, runbooks.RunRunning: 3, runbooks.RunRefused: 4, runbooks.RunRejected: 4, runbooks.RunWaiting: 4, "new word": 3,
	} {
		if got := outcomeCode(api.PlanView{Run: api.Run{Status: string(status)}}); got != want {
			t.Errorf("%s: got %d, want %d", status, got, want)
		}
	}
	dry := api.PlanView{Run: api.Run{DryRun: true, Status: string(runbooks.RunPlanned)}, Plan: &runbooks.Plan{}}
	if got := outcomeCode(dry); got != 0 {
		t.Errorf("a good dry run: %d", got)
	}
	dry.Plan.Refused, dry.Run.Status = "no", string(runbooks.RunRefused)
	if got := outcomeCode(dry); got != fault.ExitRefused {
		t.Errorf("a refused dry run: %d", got)
	}
}

func TestTokenOfTheCommandLineWins(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/token"
	if err := os.WriteFile(file, []byte("of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set := func(token, tokenFile string) *environment {
		e := nowhere(io.Discard)
		e.getenv = func(name string) string {
			return map[string]string{"SECONDLINE_TOKEN": token, "SECONDLINE_TOKEN_FILE": tokenFile}[name]
		}
		return e
	}
	for name, c := range map[string]struct {
		conn connection
		want string
	}{
		"flag over environment":           {connection{env: set("env", ""), token: "flag"}, "flag"},
		"flag file over environment":      {connection{env: set("env", ""), token: "env", tokenFile: file}, "of-the-file"},
		"flag over a file in the environ": {connection{env: set("", file), token: "flag", tokenFile: file}, "flag"},
		"environment":                     {connection{env: set("env", ""), token: "env"}, "env"},
		"file in the environment":         {connection{env: set("", file), tokenFile: file}, "of-the-file"},
	} {
		got, err := c.conn.secret()
		if err != nil || got.Reveal() != c.want {
			t.Errorf("%s: got %q, %v", name, got.Reveal(), err)
		}
	}
}

func TestIncidentPageIsAnswerFirstAndHarmless(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 3, 10, 0, 0, time.UTC)
	hostile := "\x1b[2Jdisk\nFORGED \u202etxt"
	in := api.Incident{
		Summary: api.Summary{
			Number: 7, Title: hostile, Status: "awaiting_approval", Severity: "critical", Priority: "P2", Entity: "db1", OpenedAt: now.Add(-5 * time.Minute),
		},
		Why: "disk-full-logs is confirmed" + hostile,
		Hypotheses: []api.Hypothesis{{
			Cause: "disk-full-logs", Title: "A file system is full of logs", Entity: "db1", Object: map[string]string{"mount": "/var" + hostile},
			Probability: 0.97, Band: "confirmed",
			For: []diagnostics.Evidence{{Text: "/var is 99 % full" + hostile, Facts: []string{"disk.usage#1"}}}, Cures: []string{"free-space-by-rotation"},
		}},
		Symptoms:    []api.Symptom{{State: "firing", Title: "DiskFull", Source: "alertmanager", Count: 1}},
		NotLookedAt: []string{"unit.failed" + hostile}, TruncatedAlerts: 12,
		Runs: []api.Run{{ID: "run-1", Runbook: "free-space-by-rotation", Target: "db1", Status: "awaiting_approval", PlanDigest: "sha256:abc", Missing: 1}},
	}
	var out bytes.Buffer
	page := incidentPage{Incident: in, now: now, plan: api.PlanView{Run: in.Runs[0], Worst: "2m0s", Needs: "operator", Plan: &runbooks.Plan{
		Runbook: "free-space-by-rotation", Digest: "sha256:abc", Steps: []runbooks.PlannedStep{{ID: "free", Action: "cleanup", Diff: "-/var/log/a" + hostile + "\n"}},
	}}}
	page.show(&out)
	text := out.String()
	for _, want := range []string{"incident 7: ", "awaiting approval", "confirmed", "/var is 99 % full", "[disk.usage#1]", "-/var/log/a", "secondline approve run-1 --plan sha256:abc", "5m00s", "nobody has acknowledged it", "left 12 more alerts out"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "FORGED") {
			t.Errorf("a line was forged: %q", line)
		}
	}
	if strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("an escape came through: %q", text)
	}
	if strings.Index(text, "cause") > strings.Index(text, "what to do now") {
		t.Error("the cause comes after what to do")
	}
}

func TestOneReasonThatCannotTellIsOneLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	const why = "unit: unit.status(unit=a): timed out"
	showHypotheses(&out, paint{}, []api.Hypothesis{{Cause: "c", CannotTell: []diagnostics.Evidence{
		{ID: "p", Text: "cannot tell: " + why, Why: why, Facts: []string{"f#1"}}, {ID: "q", Text: "cannot tell: " + why, Why: why, Facts: []string{"f#1"}},
	}}}, nil, 1)
	if want := "     cannot tell  " + why + "; leaves open: p, q  [f#1]\n"; !strings.Contains(out.String(), want) || strings.Count(out.String(), "cannot tell") != 1 {
		t.Errorf("got:\n%s\nwant the line %q", out.String(), want)
	}
}

// openTerminal returns a real terminal: what a person types goes into person.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil { // unlockpt(3)
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN) // ptsname(3)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func TestOnlyAYesApproves(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]bool{"y\n": true, "yes\n": true, "Y\n": true, "\n": false, "n\n": false, "yesterday\n": false, "\x04": false} {
		person, program := openTerminal(t)
		r := &running{env: &environment{stdin: program, stdout: program, stderr: io.Discard, getenv: func(string) string { return "" }}, out: &format{word: "table"}}
		if _, err := person.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		got, err := r.askApproval(t.Context(), api.PlanView{Run: api.Run{ID: "run-1"}})
		if got != want {
			t.Errorf("typed %q: got %t, %v", typed, got, err)
		}
		if !want && err != exitCode(fault.ExitRefused) { //nolint:errorlint // as execute sees it
			t.Errorf("typed %q: got %v", typed, err)
		}
	}
}

func TestWaitingForAYesEndsWithTheCommand(t *testing.T) {
	t.Parallel()
	_, program := openTerminal(t)
	r := &running{env: &environment{stdin: program, stdout: program, stderr: io.Discard, getenv: func(string) string { return "" }}, out: &format{word: "table"}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := r.askApproval(ctx, api.PlanView{}); got || err == nil {
		t.Errorf("got %t, %v", got, err)
	}
}

func TestColourOnlyOnATerminal(t *testing.T) {
	t.Parallel()
	_, program := openTerminal(t)
	vars := map[string]string{}
	env := &environment{stdout: program, getenv: func(name string) string { return vars[name] }}
	if !env.paints(program).on {
		t.Error("no colour on a terminal")
	}
	if env.paints(io.Discard).on {
		t.Error("colour into a pipe")
	}
	vars["NO_COLOR"] = "1"
	if env.paints(program).on {
		t.Error("colour despite NO_COLOR")
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 5 * time.Second: "5s", 65 * time.Second: "1m05s", 90 * time.Minute: "1h30m", 72 * time.Hour: "3d",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: got %s", d, got)
		}
	}
}

func TestWhatIsDiagnosedIsOnlyRead(t *testing.T) {
	t.Parallel()
	o := reachOptions{target: "localhost"}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	server, done, err := o.open(t.Context(), nowhere(io.Discard), entity.Entity{ID: "here"})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	made := t.TempDir() + "/made"
	for _, effect := range []remote.Effect{"", remote.Write} {
		if _, err := server.Run(t.Context(), remote.Command{Argv: []string{"touch", made}, Effect: effect}); !fault.Is(err, fault.Denied) {
			t.Errorf("effect %q: got %v", effect, err)
		}
	}
	if _, err := os.Stat(made); err == nil {
		t.Error("it was changed")
	}
}

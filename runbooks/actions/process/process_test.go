package process_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/process"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// start starts a program that says "ready" when it is, and ends it after the
// test. It is not waited for before that: when it ends, it is a zombie.
func start(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with what the program starts itself
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q says %q, %v", argv, line, err)
	}
	return cmd
}

// sleeper is a process that does nothing, and knows no signals; its name is the word.
func sleeper(t *testing.T, word string) *exec.Cmd {
	t.Helper()
	return start(t, "sh", "-c", "echo ready; exec sleep 300", word)
}

// listener has a handler for the signal that writes a line into the file.
func listener(t *testing.T, signal string) (*exec.Cmd, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "heard")
	return start(t, "sh", "-c", `trap 'echo heard >>"$1"' "$2"; echo ready; while :; do sleep 0.05; done`, "sh", file, signal), file
}

func spec(part string) string {
	return "  steps:\n    - id: act\n      process: " + part + "\n      preserve: none\n      verify: {within: 1s}\n      undo: none\n"
}

// reversible is a spec whose own undo is used, with one more thing to verify.
func reversible(part, that string) string {
	return "  probes:\n    flag: {probe: file.text, with: {path: /nonexistent}}\n  steps:\n    - id: act\n      process: " + part +
		"\n      verify: {within: 300ms, that: '" + that + "'}\n"
}

func story(t *testing.T, part string) *actiontest.Story {
	t.Helper()
	return actiontest.New(t, process.Action{}, actiontest.Local(), spec(part), nil)
}

// state is the letter of a process, "" when there is none.
func state(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return strings.Fields(string(text)[strings.LastIndex(string(text), ")")+1:])[0]
}

func alive(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	s := state(t, cmd.Process.Pid)
	return s != "" && s != "Z" && s != "X"
}

func TestAProcessIsEndedAndNoOther(t *testing.T) {
	t.Parallel()
	for _, signal := range []string{"TERM", "INT", "QUIT", "KILL"} {
		t.Run(signal, func(t *testing.T) {
			t.Parallel()
			one, other := sleeper(t, "one"), sleeper(t, "other")
			s := story(t, fmt.Sprintf("{pid: %d, signal: %s}", one.Process.Pid, signal))
			p := s.Plan()
			if !strings.Contains(p.Steps[0].Diff, "-running\n+ended, by "+signal) || p.Steps[0].Noop {
				t.Errorf("diff %q", p.Steps[0].Diff)
			}
			if want := map[bool]runbooks.Effect{true: runbooks.Irreversible, false: runbooks.Write}[signal == "KILL"]; p.Effect != want {
				t.Errorf("effect %s, want %s", p.Effect, want)
			}
			s.Want(s.RunPlan(p), runbooks.RunVerified, "")
			if alive(t, one) || !alive(t, other) {
				t.Errorf("one is alive: %t, the other: %t", alive(t, one), alive(t, other))
			}
			if _, err := s.TryPlan(); !fault.Is(err, fault.NotFound) {
				t.Errorf("the second time: %v", err)
			}
		})
	}
}

func TestAHandlerIsCalledOnceAndTheProcessStays(t *testing.T) {
	t.Parallel()
	for _, signal := range []string{"HUP", "USR1", "USR2"} {
		t.Run(signal, func(t *testing.T) {
			t.Parallel()
			cmd, file := listener(t, signal)
			s := story(t, fmt.Sprintf("{pid: %d, signal: %s}", cmd.Process.Pid, signal))
			s.Want(s.Run(), runbooks.RunVerified, "")
			awaitLines(t, file, 1)
			if !alive(t, cmd) {
				t.Error("it is gone")
			}
		})
	}
}

// awaitLines waits until the file has so many lines: the handler runs when the
// shell's own child has ended.
func awaitLines(t *testing.T, file string, want int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		text, _ := os.ReadFile(file)
		n := strings.Count(string(text), "\n")
		if n == want {
			return
		}
		if n > want || time.Now().After(deadline) {
			t.Fatalf("%d lines, want %d", n, want)
		}
	}
}

func TestASignalThatWouldEndOrMissTheProcessIsRefused(t *testing.T) {
	t.Parallel()
	plain := sleeper(t, "plain")
	deaf := start(t, "sh", "-c", `trap '' TERM HUP; echo ready; while :; do sleep 0.05; done`)
	for part, why := range map[string]string{
		fmt.Sprintf("{pid: %d, signal: HUP}", plain.Process.Pid):  "has no handler for HUP",
		fmt.Sprintf("{pid: %d, signal: USR1}", plain.Process.Pid): "has no handler for USR1",
		fmt.Sprintf("{pid: %d, signal: HUP}", deaf.Process.Pid):   "ignores HUP",
		fmt.Sprintf("{pid: %d, signal: TERM}", deaf.Process.Pid):  "ignores TERM",
		fmt.Sprintf("{pid: %d, signal: TERM}", os.Getpid()):       "lives by",
		fmt.Sprintf("{pid: %d, signal: STOP}", os.Getppid()):      "lives by",
	} {
		s := story(t, part)
		if p, err := s.TryPlan(); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v (%v), want %q", part, p.Steps, err, why)
		}
	}
	if !alive(t, plain) || !alive(t, deaf) {
		t.Error("planning ended a process")
	}
}

func TestAKernelThreadIsRefused(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text)[strings.LastIndex(string(text), ")")+1:])
		flags, err := strconv.ParseUint(fields[6], 10, 64)
		if pid := filepath.Base(filepath.Dir(name)); err == nil && flags&0x200000 != 0 {
			if _, err := story(t, "{pid: "+pid+", signal: KILL}").TryPlan(); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "kernel") {
				t.Errorf("process %s: %v", pid, err)
			}
			return
		}
	}
	t.Skip("no thread of the kernel is to be seen here")
}

func TestAProcessThatWithstandsIsNotVerified(t *testing.T) {
	t.Parallel()
	cmd, file := listener(t, "TERM")
	s := story(t, fmt.Sprintf("{pid: %d, signal: TERM, gone_within: 400ms}", cmd.Process.Pid))
	s.Want(s.Run(), runbooks.RunRefuted, "state")
	if n := len(s.Host.Writes()); n != 1 || !alive(t, cmd) {
		t.Errorf("%d writes, alive: %t", n, alive(t, cmd))
	}
	awaitLines(t, file, 1)
}

func TestStoppingIsTakenBack(t *testing.T) {
	t.Parallel()
	cmd := sleeper(t, "stopped")
	part := fmt.Sprintf("{pid: %d, signal: STOP}", cmd.Process.Pid)
	s := actiontest.New(t, process.Action{}, actiontest.Local(), reversible(part, "flag.exists"), nil)
	s.Want(s.Run(), runbooks.RunUndone, "")
	if got := state(t, cmd.Process.Pid); got != "S" {
		t.Errorf("state %s", got)
	}
}

func TestStoppingTwiceChangesNothingAndContinuingTakesItBack(t *testing.T) {
	t.Parallel()
	cmd := sleeper(t, "stopped")
	pid := cmd.Process.Pid
	run := func(signal string, writes int, want string) {
		t.Helper()
		s := actiontest.New(t, process.Action{}, actiontest.Local(), reversible(fmt.Sprintf("{pid: %d, signal: %s}", pid, signal), "!flag.exists"), nil)
		p := s.Plan()
		s.Want(s.RunPlan(p), runbooks.RunVerified, "")
		if got := state(t, pid); got != want || len(s.Host.Writes()) != writes || p.Steps[0].Noop != (writes == 0) {
			t.Errorf("%s: state %s, %d writes, noop %t", signal, got, len(s.Host.Writes()), p.Steps[0].Noop)
		}
	}
	run("STOP", 1, "T")
	run("STOP", 0, "T")
	run("CONT", 1, "S")
	run("CONT", 0, "S")
}

func TestAnUndoOfWhatIsGoneIsStuck(t *testing.T) {
	t.Parallel()
	cmd := sleeper(t, "stopped")
	part := fmt.Sprintf("{pid: %d, signal: STOP}", cmd.Process.Pid)
	s := actiontest.New(t, process.Action{}, actiontest.Local(), reversible(part, "flag.exists"), nil)
	s.Deps.OnEvent = func(e engine.Event) {
		if e.Status == runbooks.StepUndoing {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	s.Want(s.Run(), runbooks.RunRefuted, "undo: process")
}

// TestNothingButTheProcessThatWasPlannedIsSignalled is the heart of it: the
// number is the planned one, and what it stands for is not.
func TestNothingButTheProcessThatWasPlannedIsSignalled(t *testing.T) {
	t.Parallel()
	cmd := sleeper(t, "innocent")
	s := story(t, fmt.Sprintf("{pid: %d, signal: TERM}", cmd.Process.Pid))
	env := &engine.Env{Runner: s.Host, Step: s.Binding.Runbook.Steps[0], Now: time.Now}
	change, err := process.Action{}.Plan(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	for field, other := range map[string]any{
		"start": 1, "boot": "00000000-0000-0000-0000-000000000000", "exe": "/usr/bin/other", "pid": os.Getppid(),
	} {
		var saved map[string]any
		if err := json.Unmarshal(change.Saved, &saved); err != nil {
			t.Fatal(err)
		}
		planned, ok := saved["process"].(map[string]any)
		if !ok {
			t.Fatalf("saved %s", change.Saved)
		}
		planned[field] = other
		forged := change
		if forged.Saved, err = json.Marshal(saved); err != nil {
			t.Fatal(err)
		}
		if _, err := (process.Action{}).Apply(t.Context(), env, forged); !fault.Is(err, fault.Denied) {
			t.Errorf("another %s: %v", field, err)
		}
		if !alive(t, cmd) {
			t.Fatalf("another %s was no hindrance", field)
		}
		if got := (process.Action{}).Verify(t.Context(), env, forged, engine.Outcome{}); field != "exe" && field != "pid" && got.Truth != expr.True {
			t.Errorf("another %s: the planned one is %s", field, got.Text)
		}
	}
}

// TestWhatTheCommandLivesByIsRefusedRightBeforeTheSignal: a plan is not needed
// for that, and here is a true one that no plan would make.
func TestWhatTheCommandLivesByIsRefusedRightBeforeTheSignal(t *testing.T) {
	t.Parallel()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	began, err := strconv.ParseUint(strings.Fields(string(stat)[strings.LastIndex(string(stat), ")")+1:])[19], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{
		"process": map[string]any{"pid": os.Getpid(), "start": began, "boot": strings.TrimSpace(string(boot)), "exe": exe}, "signal": "CONT",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := story(t, "{pid: 5, signal: CONT}")
	env := &engine.Env{Runner: s.Host, Step: s.Binding.Runbook.Steps[0], Now: time.Now}
	if _, err := (process.Action{}).Apply(t.Context(), env, engine.Change{Saved: body}); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "lives by") {
		t.Errorf("got %v", err)
	}
}

func TestAProcessThatEndedSinceItsPlanIsNotSignalled(t *testing.T) {
	t.Parallel()
	cmd := sleeper(t, "short-lived")
	s := story(t, fmt.Sprintf("{match: [sleep, \"300\"], pid: %d, signal: TERM}", cmd.Process.Pid))
	p := s.Plan()
	if err := errors.Join(cmd.Process.Kill(), ignore(cmd.Wait())); err != nil {
		t.Fatal(err)
	}
	if res := s.RunPlan(p); res.Status == runbooks.RunVerified || !strings.Contains(res.Why, "no process") {
		t.Errorf("%s: %s", res.Status, res.Why)
	}
	if n := len(s.Host.Writes()); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func ignore(error) error { return nil }

func TestMatchMeansExactlyOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mark := filepath.Join(dir, "it's a \"mark\" $(touch x) -- *")
	run := func(words ...string) *exec.Cmd {
		return start(t, append([]string{"sh", "-c", "echo ready; while :; do sleep 5; done"}, words...)...)
	}
	one, two := run(mark, "--worker", "a b"), run(mark, "--worker", "")
	quoted := func(words ...string) string {
		text, err := json.Marshal(append([]string{"sh", "-c", "echo ready; while :; do sleep 5; done"}, words...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if _, err := story(t, "{match: "+quoted(mark)+", signal: TERM}").TryPlan(); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "2 processes") {
		t.Errorf("two: %v", err)
	}
	for _, none := range []string{quoted(mark, "--work"), quoted("--worker"), quoted(mark, "--worker", "a")} {
		if _, err := story(t, "{match: "+none+", signal: TERM}").TryPlan(); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", none, err)
		}
	}
	if _, err := story(t, "{match: "+quoted(mark, "--worker", "a b")+", user: nobody, signal: TERM}").TryPlan(); !fault.Is(err, fault.NotFound) {
		t.Errorf("of another user: %v", err)
	}
	if _, err := story(t, "{match: "+quoted(mark, "--worker", "a b")+", user: no-such-user, signal: TERM}").TryPlan(); err == nil {
		t.Error("a user that is not there was planned")
	}
	s := story(t, "{match: "+quoted(mark, "--worker", "")+", user: root, signal: TERM}")
	s.Want(s.Run(), runbooks.RunVerified, "")
	if !alive(t, one) || alive(t, two) {
		t.Errorf("one is alive: %t, two: %t", alive(t, one), alive(t, two))
	}
}

func TestAMatchThatASecretHidesIsRefused(t *testing.T) {
	t.Parallel()
	const script = "echo ready; while :; do sleep 5; done"
	start(t, "sh", "-c", script, "secret-holder", "--password=hunter2hunter2")
	_, err := story(t, `{match: [sh, -c, "`+script+`", secret-holder, "--password=hunter2hunter2"], signal: TERM}`).TryPlan()
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "holds a secret") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestAPIDFileIsBelievedOnlyWhereItCanBe(t *testing.T) {
	t.Parallel()
	cmd := sleeper(t, "service")
	dir := t.TempDir()
	good := strconv.Itoa(cmd.Process.Pid) + "\n/srv/data\n"
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old, foreign, fifo := write("old", good, 0o644), write("foreign", good, 0o644), filepath.Join(dir, "fifo")
	long := time.Now().Add(-time.Hour)
	if err := errors.Join(os.Chtimes(old, long, long), os.Chown(foreign, 65534, 65534), syscall.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, why := range map[string]string{
		old: "began after", foreign: "belongs to uid 65534", write("anybody", good, 0o666): "others than its owner", fifo: "not a regular file",
		dir: "not a regular file", write("words", "$(id)", 0o644): "no process id", write("all", "-1", 0o644): "no process id",
		write("init", "1\n", 0o644): "init", write("zero", "0", 0o644): "no process id", write("empty", "", 0o644): "no process id",
		filepath.Join(dir, "none"): "", write("huge", strings.Repeat("9", 1000), 0o644): "no process id",
	} {
		if _, err := story(t, "{pid_file: "+path+", signal: TERM}").TryPlan(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", path, err, why)
		}
	}
	s := story(t, "{pid_file: '"+write("a b", good, 0o644)+"', match: [sleep, '300'], signal: TERM}")
	s.Want(s.Run(), runbooks.RunVerified, "")
	if alive(t, cmd) {
		t.Error("it lives")
	}
}

func TestAProgramWithAHostileName(t *testing.T) {
	t.Parallel()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a) Z 1 (b", "line\nstat:1 (x) Z 1\nexe:feed", "'; kill 1; '", "-rf *"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, body, 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := start(t, "sh", "-c", `echo ready; exec "$0" 300`, path)
			s := story(t, fmt.Sprintf("{pid: %d, signal: TERM}", cmd.Process.Pid))
			s.Want(s.Run(), runbooks.RunVerified, "")
			if alive(t, cmd) {
				t.Error("it lives")
			}
		})
	}
}

func TestALostConnectionIsResolvedByLooking(t *testing.T) {
	t.Parallel()
	lose := func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost}
	}
	ended := sleeper(t, "ended")
	s := story(t, fmt.Sprintf("{pid: %d, signal: TERM}", ended.Process.Pid))
	s.Host.After = lose
	s.Want(s.Run(), runbooks.RunVerified, "")
	told, file := listener(t, "HUP")
	s = story(t, fmt.Sprintf("{pid: %d, signal: HUP}", told.Process.Pid))
	s.Host.After = lose
	s.Want(s.Run(), runbooks.RunUnknown, "cannot be seen")
	awaitLines(t, file, 1)
}

func TestAfterACrashASignalIsNotSentBlindlyAgain(t *testing.T) {
	t.Parallel()
	for dieAt := 1; dieAt <= 4; dieAt++ {
		t.Run(fmt.Sprintf("KILL, killed at %d", dieAt), func(t *testing.T) {
			t.Parallel()
			cmd := sleeper(t, "x")
			s := story(t, fmt.Sprintf("{pid: %d, signal: KILL}", cmd.Process.Pid))
			s.Want(s.Crash(dieAt), runbooks.RunVerified, "")
			if alive(t, cmd) || len(s.Host.Writes()) != 1 {
				t.Errorf("alive: %t, %d writes", alive(t, cmd), len(s.Host.Writes()))
			}
		})
	}
	t.Run("HUP", func(t *testing.T) {
		t.Parallel()
		cmd, file := listener(t, "HUP")
		s := story(t, fmt.Sprintf("{pid: %d, signal: HUP}", cmd.Process.Pid))
		s.Want(s.Crash(3), runbooks.RunUnknown, "cannot be seen")
		awaitLines(t, file, 1)
	})
}

func TestDecodingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for part, why := range map[string]string{
		"{signal: TERM}": "not said which process",
		"{pid: 5, pid_file: /run/x.pid, signal: TERM}": "not by both",
		"{pid: 5}":                                             "signal",
		"{pid: 5, signal: SEGV}":                               "no signal",
		"{pid: 5, signal: SIGTERM}":                            "no signal",
		`{pid: 5, signal: "${inputs.x}"}`:                      "",
		"{pid: 1, signal: TERM}":                               "init",
		"{pid: -1, signal: TERM}":                              "no process id",
		"{pid: 0, signal: TERM}":                               "no process id",
		"{pid_file: run/x.pid, signal: TERM}":                  "not a clean absolute path",
		"{pid_file: /run/../x.pid, signal: TERM}":              "not a clean absolute path",
		"{match: [], signal: TERM}":                            "1 to 32",
		"{match: [''], signal: TERM}":                          "empty",
		"{match: orders, signal: TERM}":                        "match is a list",
		`{match: ["a\nb"], signal: TERM}`:                      "line feed",
		"{pid: 5, user: '-x', signal: TERM}":                   "not the name of a user",
		"{pid: 5, signal: HUP, gone_within: 3s}":               "says nothing",
		"{pid: 5, signal: TERM, gone_within: 1h}":              "at most",
		"{pid: 5, signal: TERM, gone_within: -1s}":             "more than 0",
		"{pid: 5, signal: TERM, force: true}":                  "force",
		"{pid: 5, signal: TERM}\n      effect: read":           "effect",
		"{pid: 5, signal: KILL}\n      effect: write":          "effect",
		"{match: [orders, '${inputs.nothing}'], signal: TERM}": "unknown name",
	} {
		if _, err := actiontest.Parse(process.Action{}, spec(part)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", part, err, why)
		}
	}
	unsaved := strings.Replace(spec("{pid: 5, signal: TERM}"), "      preserve: none\n", "", 1)
	if _, err := actiontest.Parse(process.Action{}, unsaved); err == nil || !strings.Contains(err.Error(), "evidence") {
		t.Errorf("without preserve: %v", err)
	}
	if _, err := actiontest.Parse(process.Action{}, spec("{pid: 5, signal: KILL}")+"  autonomy: auto\n"); err == nil {
		t.Error("a KILL without a person was accepted")
	}
	s := story(t, "{pid: 5, signal: TERM, gone_within: 118s}")
	if _, err := s.TryPlan(); !fault.Is(err, fault.Invalid) {
		t.Errorf("longer than its step: %v", err)
	}
}

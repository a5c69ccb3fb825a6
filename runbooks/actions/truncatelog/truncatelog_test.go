package truncatelog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/truncatelog"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// yard is a folder with a log.
type yard struct {
	*actiontest.Story
	t    *testing.T
	root string
	path string
	kept string
}

const text = "first line\nsecond line\nlast line\n"

func newYard(t *testing.T, more string) *yard {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{t: t, root: root, path: filepath.Join(root, "logs", "app $(id) '.log"), kept: filepath.Join(root, "kept")}
	if err := errors.Join(os.Mkdir(filepath.Join(root, "logs"), 0o755), os.WriteFile(y.path, []byte(text), 0o640)); err != nil {
		t.Fatal(err)
	}
	spec := "  inputs:\n    path: {type: path}\n  steps:\n    - id: empty\n      truncate_log: {path: \"${inputs.path}\"" + more + "}\n      preserve: [log-tail]\n" +
		"      verify: {within: 100ms}\n      undo: none\n"
	y.Story = actiontest.New(t, truncatelog.Action{Kept: y.kept}, actiontest.Local(), spec, map[string]string{"path": y.path})
	y.Deps.CleanupRoots = []string{"/no/such/root", filepath.Join(root, "logs")}
	return y
}

// open opens the log as a service does.
func (y *yard) open(flags int) *os.File {
	y.t.Helper()
	f, err := os.OpenFile(y.path, flags, 0)
	if err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() { _ = f.Close() })
	return f
}

func (y *yard) text() string {
	y.t.Helper()
	data, err := os.ReadFile(y.path)
	if err != nil {
		y.t.Fatal(err)
	}
	return string(data)
}

func (y *yard) refused(kind fault.Kind, because string) {
	y.t.Helper()
	if _, err := y.TryPlan(); !fault.Is(err, kind) || !strings.Contains(fmt.Sprint(err), because) {
		y.t.Errorf("got %v, want %s with %q", err, kind, because)
	}
	if n := len(y.Host.Writes()); n > 0 {
		y.t.Errorf("planning wrote %d times", n)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root sees what others have open")
	}
}

func TestALogIsEmptiedInPlaceWhileItIsWritten(t *testing.T) {
	t.Parallel()
	needRoot(t)
	y := newYard(t, "")
	f := y.open(os.O_WRONLY | os.O_APPEND)
	before, _ := f.Stat()
	p := y.Plan()
	if p.Effect != runbooks.Irreversible || p.Steps[0].Undo != "none" || !strings.Contains(p.Steps[0].Diff, "all who write to it append") {
		t.Errorf("effect %s, undo %q, diff\n%s", p.Effect, p.Steps[0].Undo, p.Steps[0].Diff)
	}
	if _, err := f.WriteString("more\n"); err != nil { // a log goes on
		t.Fatal(err)
	}
	res := y.RunPlan(p)
	y.Want(res, runbooks.RunVerified, "")
	if !strings.Contains(string(res.Steps[0].Preserved["log-tail"]), "last line\nmore\n") {
		t.Errorf("preserved %q", res.Steps[0].Preserved)
	}
	if _, err := f.WriteString("after\n"); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(y.path)
	if y.text() != "after\n" || !os.SameFile(before, after) {
		t.Errorf("got %q", y.text())
	}
	if _, err := os.Stat(y.kept); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was kept that nobody asked for")
	}
}

func TestTheEndIsKept(t *testing.T) {
	t.Parallel()
	y := newYard(t, ", keep: 10")
	y.Want(y.Run(), runbooks.RunVerified, "")
	tails, _ := filepath.Glob(y.kept + "/*/tail")
	if len(tails) != 1 || y.text() != "" {
		t.Fatalf("kept %q, left %q", tails, y.text())
	}
	if data, _ := os.ReadFile(tails[0]); string(data) != "last line\n" {
		t.Errorf("kept %q", data)
	}
}

func TestWhatCannotBeKeptIsNotEmptied(t *testing.T) {
	t.Parallel()
	y := newYard(t, ", keep: 1MiB")
	if err := os.WriteFile(y.kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	y.Want(y.Run(), runbooks.RunRefuted, "exit status")
	if y.text() != text {
		t.Errorf("got %q", y.text())
	}
}

func TestAnEmptyLogIsNothingToDo(t *testing.T) {
	t.Parallel()
	y := newYard(t, "")
	if err := os.Truncate(y.path, 0); err != nil {
		t.Fatal(err)
	}
	y.Want(y.Run(), runbooks.RunVerified, "")
	if len(y.Host.Writes()) > 0 {
		t.Error("it wrote")
	}
}

func TestAWriterThatDoesNotAppendRefuses(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for name, flags := range map[string]int{"writes": os.O_WRONLY, "reads and writes": os.O_RDWR} {
		y := newYard(t, "")
		y.open(os.O_RDONLY)
		p := y.Plan()
		y.open(flags)
		y.refused(fault.Denied, fmt.Sprintf("%d (", os.Getpid()))
		res, err := engine.Run(t.Context(), y.Host, y.Binding, engine.Approved{Digest: p.Digest, Plan: &p}, y.Deps)
		if err != nil || res.Status == runbooks.RunVerified || !strings.Contains(res.Why, "O_APPEND") || y.text() != text {
			t.Errorf("%s: %s (%s), %v, left %q", name, res.Status, res.Why, err, y.text())
		}
	}
}

func TestOnlyWhatIsPlannedIsEmptied(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(y *yard) error{
		"a link put in its place": func(y *yard) error {
			return errors.Join(os.Remove(y.path), os.Symlink(filepath.Join(y.root, "victim"), y.path))
		},
		"another file": func(y *yard) error {
			return errors.Join(os.Rename(y.path, y.path+".1"), os.WriteFile(y.path, []byte(text), 0o640))
		},
		"gone":             func(y *yard) error { return os.Remove(y.path) },
		"truncated before": func(y *yard) error { return os.WriteFile(y.path, []byte("new"), 0) },
		"a second name":    func(y *yard) error { return os.Link(y.path, y.path+".2") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, "")
			victim := filepath.Join(y.root, "victim")
			if err := os.WriteFile(victim, []byte(text+text), 0o600); err != nil {
				t.Fatal(err)
			}
			y.Host.Before = func(cmd remote.Command) error {
				if cmd.Effect == remote.Read {
					return nil
				}
				return change(y)
			}
			res := y.Run()
			if res.Status == runbooks.RunVerified {
				t.Errorf("%s: %s", res.Status, res.Why)
			}
			if data, _ := os.ReadFile(victim); string(data) != text+text {
				t.Errorf("the victim has %q", data)
			}
			if data, err := os.ReadFile(y.path); err == nil && len(data) == 0 {
				t.Error("it was emptied")
			}
			if _, err := os.Lstat(y.path); name == "gone" && !errors.Is(err, os.ErrNotExist) {
				t.Error("a file was made")
			}
		})
	}
}

func TestWhatIsNoLogInsideTheRootsIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(y *yard) error
		because string
	}{
		"a link": {func(y *yard) error {
			return errors.Join(os.Rename(y.path, y.path+".real"), os.Symlink(y.path+".real", y.path))
		}, "symbolic link"},
		"a link on the way": {func(y *yard) error {
			y.Binding.Given["path"] = filepath.Join(y.root, "link", filepath.Base(y.path))
			return os.Symlink(filepath.Join(y.root, "logs"), filepath.Join(y.root, "link"))
		}, "symbolic link"},
		"outside": {func(y *yard) error {
			y.Binding.Given["path"] = filepath.Join(y.root, "x")
			return os.WriteFile(filepath.Join(y.root, "x"), nil, 0o600)
		}, "not inside"},
		"the root itself": {func(y *yard) error { y.Binding.Given["path"] = filepath.Dir(y.path); return nil }, "not inside"},
		"a folder":        {func(y *yard) error { return errors.Join(os.Remove(y.path), os.Mkdir(y.path, 0o700)) }, "no regular file"},
		"a pipe":          {func(y *yard) error { return errors.Join(os.Remove(y.path), syscall.Mkfifo(y.path, 0o600)) }, "no regular file"},
		"two names":       {func(y *yard) error { return os.Link(y.path, filepath.Join(y.root, "other")) }, "2 names"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, "")
			if err := tt.prepare(y); err != nil {
				t.Fatal(err)
			}
			y.refused(fault.Denied, tt.because)
		})
	}
}

func TestAfterACrashAnywhereItIsEmptiedOnce(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 5; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			y := newYard(t, "")
			y.Want(y.Crash(n), runbooks.RunVerified, "")
			if writes := len(y.Host.Writes()); y.text() != "" || writes != 1 {
				t.Errorf("left %q by %d commands", y.text(), writes)
			}
		})
	}
}

func TestALostConnectionIsLookedAt(t *testing.T) {
	t.Parallel()
	lost := func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost}
	}
	y := newYard(t, "")
	y.Host.After = lost
	y.Want(y.Run(), runbooks.RunVerified, "")
	y = newYard(t, "")
	y.Host.Before = lost
	y.Want(y.Run(), runbooks.RunUnknown, "")
	if y.text() != text {
		t.Errorf("got %q", y.text())
	}
}

func TestDecodingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for part, want := range map[string]string{
		`{path: log}`:                             "clean absolute path",
		`{path: /var/log/../x}`:                   "clean absolute path",
		`{path: /var/log/x, keep: much}`:          "not a size",
		`{path: /var/log/x, keep: 1TiB}`:          "at most",
		`{path: /var/log/x, keep: "${nobody}"}`:   "nobody",
		`{path: /var/log/x, size: 0}`:             "size",
		`{keep: 1MiB}`:                            "path",
		"{path: /var/log/x}\n      effect: write": "irreversible",
	} {
		_, err := actiontest.Parse(truncatelog.Action{}, "  autonomy: approve\n  steps:\n    - id: empty\n      undo: none\n      preserve: none\n      truncate_log: "+part+"\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", part, err, want)
		}
	}
	if _, err := actiontest.Parse(truncatelog.Action{}, "  steps:\n    - id: empty\n      undo: none\n      truncate_log: {path: /var/log/x}\n"); err == nil || !strings.Contains(err.Error(), "destroys evidence") {
		t.Errorf("without preserve: %v", err)
	}
}

package cleanup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/cleanup"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// machine runs real commands here. Before one that writes, the world may move.
type machine struct {
	remote.Runner
	writes      int
	beforeWrite func()
	lose        bool // the connection, behind the next write
}

func (m *machine) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if cmd.Effect != remote.Read {
		m.writes++
		if m.beforeWrite != nil {
			m.beforeWrite()
		}
	}
	res, err := m.Runner.Run(ctx, cmd)
	if m.lose && cmd.Effect != remote.Read {
		m.lose = false
		return res, &remote.Error{Class: remote.Lost}
	}
	return res, err
}

// nothingSecret is the redactor of a host without secrets.
type nothingSecret struct{}

func (nothingSecret) Redact(text []byte) []byte { return text }

var errCrash = errors.New("the agent was killed")

// journal dies at its n-th record: with it on disk or not.
type journal struct {
	records []engine.Record
	dieAt   int // 0: never
	written bool
}

func (j *journal) Append(_ context.Context, r engine.Record) error {
	die := j.dieAt > 0 && len(j.records)+1 >= j.dieAt
	if !die || j.written && len(j.records)+1 == j.dieAt {
		j.records = append(j.records, r)
	}
	if die {
		return errCrash
	}
	return nil
}

func (j *journal) Records() ([]engine.Record, error) { return slices.Clone(j.records), nil }

type noProbes struct{}

func (noProbes) Names() []string { return nil }

func (noProbes) Fields(string) (in, out []expr.Field, ok bool) { return nil, nil, false }

func (noProbes) Read(context.Context, remote.Runner, string, map[string]string) (map[string]any, error) {
	return nil, errors.New("no probes here")
}

// yard is a folder with files, and a rule for it.
type yard struct {
	t       *testing.T
	root    string
	dir     string
	machine *machine
	deps    engine.Deps
	binding engine.Binding
}

func newYard(t *testing.T) *yard {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{t: t, root: root, dir: filepath.Join(root, "logs"), machine: &machine{
		Runner: remote.Open(local.New(), remote.Options{Gate: remote.AllowAll(), Redactor: nothingSecret{}}),
	}}
	if err := os.Mkdir(y.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	y.deps = engine.Deps{
		CommandOutlives: -1,
		Actions:         []engine.Action{cleanup.Action{}}, Probes: noProbes{}, Specs: noProbes{}, Journal: &journal{},
		Now: time.Now, CleanupRoots: []string{"/no/such/root", y.dir},
	}
	y.rule(`{path: "${inputs.path}", match: ["*.old", "*.log.[0-9]"], keep: 1, min_age: 1h}`, "none")
	return y
}

func (y *yard) rule(part, preserve string) {
	y.t.Helper()
	rb, err := parse(part, preserve)
	if err != nil {
		y.t.Fatal(err)
	}
	y.binding = engine.Binding{Runbook: rb, Target: entity.Entity{ID: "here"}, Given: map[string]string{"path": y.dir}}
}

func parse(part, preserve string) (*runbooks.Runbook, error) {
	text := `
apiVersion: secondline/v1
kind: Runbook
metadata: {name: test, title: A test}
spec:
  inputs:
    path: {type: path}
  steps:
    - id: clean
      cleanup: ` + part + `
      preserve: ` + preserve + `
      verify: {within: 100ms}
      undo: none
`
	return runbooks.Parse("test.yaml", []byte(text), runbooks.ParseOptions{Decoders: []runbooks.Decoder{cleanup.Action{}}, Probes: noProbes{}})
}

// file makes a file that was modified so long ago.
func (y *yard) file(name string, age time.Duration) string {
	y.t.Helper()
	path := filepath.Join(y.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		y.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		y.t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		y.t.Fatal(err)
	}
	return path
}

// left names what is in the folder now.
func (y *yard) left() []string {
	y.t.Helper()
	names := []string{}
	err := filepath.WalkDir(y.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, y.dir+"/"))
		}
		return err
	})
	if err != nil {
		y.t.Fatal(err)
	}
	return names
}

func (y *yard) plan() (runbooks.Plan, error) {
	return engine.Plan(y.t.Context(), y.machine, y.binding, y.deps)
}

func (y *yard) run() runbooks.RunResult {
	y.t.Helper()
	approved := y.approve()
	if y.machine.writes != 0 {
		y.t.Fatal("planning wrote")
	}
	return y.carryOut(approved)
}

// TestDeletionIsLeftToAPersonUnlessTheOwnerDeclaredIt: what is deleted is gone,
// so that a person decides, now or before, by a budget in the inventory.
func TestDeletionIsLeftToAPersonUnlessTheOwnerDeclaredIt(t *testing.T) {
	t.Parallel()
	declared := func(y *yard) entity.Budget {
		return entity.Budget{Path: y.dir, Delete: []string{"*.gz", "*.log.[0-9]", "*.old"}, Keep: 1, MinAge: time.Hour}
	}
	for name, c := range map[string]struct {
		budget func(y *yard) entity.Budget
		want   runbooks.Effect
	}{
		"declared":           {declared, runbooks.Write},
		"another directory":  {func(y *yard) entity.Budget { b := declared(y); b.Path = y.root; return b }, runbooks.Irreversible},
		"a pattern is not":   {func(y *yard) entity.Budget { b := declared(y); b.Delete = b.Delete[:2]; return b }, runbooks.Irreversible},
		"more is to be kept": {func(y *yard) entity.Budget { b := declared(y); b.Keep = 2; return b }, runbooks.Irreversible},
		"for longer":         {func(y *yard) entity.Budget { b := declared(y); b.MinAge = 2 * time.Hour; return b }, runbooks.Irreversible},
		"nothing declared":   {func(*yard) entity.Budget { return entity.Budget{} }, runbooks.Irreversible},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			for _, f := range []string{"a.old", "b.old", "c.old"} {
				y.file(f, 5*time.Hour)
			}
			y.binding.Target.Budgets = []entity.Budget{{Path: "/srv"}, c.budget(y)}
			p, err := y.plan()
			if err != nil || p.Effect != c.want || p.Steps[0].Effect != c.want {
				t.Fatalf("the plan is %s, %v, want %s", p.Effect, err, c.want)
			}
			if res := y.run(); res.Status != runbooks.RunVerified || res.Steps[0].Effect != c.want {
				t.Errorf("%s: %s, of effect %s", res.Status, res.Why, res.Steps[0].Effect)
			}
		})
	}
}

// TestADeclarationThatWasTakenBackRefuses: what was a write by the inventory,
// and so perhaps seen by nobody, has become irreversible.
func TestADeclarationThatWasTakenBackRefuses(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.file("a.old", 5*time.Hour)
	y.file("b.old", 5*time.Hour)
	y.binding.Target.Budgets = []entity.Budget{{Path: y.dir, Delete: []string{"*.log.[0-9]", "*.old"}}}
	approved := y.approve()
	y.binding.Target.Budgets = nil
	res := y.carryOut(approved)
	if res.Status != runbooks.RunRefused || !strings.Contains(res.Why, "its effect was write and is irreversible") || len(y.left()) != 2 {
		t.Errorf("%s: %s, left %v", res.Status, res.Why, y.left())
	}
}

func TestOnlyWhatTheRuleGivesUpIsDeleted(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.file("a.old", 5*time.Hour)
	y.file("b.old", 4*time.Hour)
	y.file("deep/er/c.log.1", 3*time.Hour)
	y.file("newest-that-matches.old", 2*time.Hour) // kept: the newest
	y.file("app.log", 9*time.Hour)
	y.file("old", 9*time.Hour)
	p, err := y.plan()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(p.Steps[0].Diff, "\n"); n != 3 || !strings.Contains(p.Steps[0].Diff, "a.old\" 5 bytes, modified ") {
		t.Errorf("diff:\n%s", p.Steps[0].Diff)
	}
	res := y.run()
	if res.Status != runbooks.RunVerified || !strings.HasPrefix(res.Steps[0].Changed, "deleted 3 files, 15 B: ") {
		t.Errorf("%s (%s), changed %q", res.Status, res.Why, res.Steps[0].Changed)
	}
	if diff := cmp.Diff([]string{"app.log", "newest-that-matches.old", "old"}, y.left()); diff != "" {
		t.Error(diff)
	}
}

func TestYoungFilesStayAndCountAsTheNewest(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.file("old.old", 2*time.Hour)
	y.file("young.old", time.Minute)
	y.file("younger.old", time.Second)
	y.run()
	if diff := cmp.Diff([]string{"young.old", "younger.old"}, y.left()); diff != "" {
		t.Error(diff)
	}
}

func TestNothingToDeleteIsNoChange(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.file("only.old", 2*time.Hour)
	res := y.run()
	if res.Status != runbooks.RunVerified || y.machine.writes != 0 || len(y.left()) != 1 {
		t.Errorf("%s, %d writes", res.Status, y.machine.writes)
	}
}

func TestHostileNamesAreOnlyNames(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	victim := filepath.Join(y.root, "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	names := []string{
		"-delete.old", "--help.old", "a b.old", "line\nfeed.old", "$(touch " + "pwned).old", "`id`.old", "'\".old", "*.old", "?.old",
		"[a].old", "\\.old", "(.old", "!.old", "\xff\xfe.old", "-exec;rm.old", ";.old", "&&.old", "tab\t.old", "é.old", "\x1b[2J.old",
	}
	for i, name := range names {
		y.file(name, time.Duration(i+2)*time.Hour)
	}
	y.file("\nkept\n.old", time.Hour+time.Minute)
	y.file("sub\n-dir/../sub\n-dir/x.old", 50*time.Hour)
	p, err := y.plan()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(p.Steps[0].Diff, "\n"); n != len(names)+1 {
		t.Errorf("%d lines for %d files:\n%s", n, len(names)+1, p.Steps[0].Diff)
	}
	res := y.run()
	if res.Status != runbooks.RunVerified {
		t.Errorf("%s: %s", res.Status, res.Why)
	}
	if diff := cmp.Diff([]string{"\nkept\n.old"}, y.left()); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error("a file outside was deleted")
	}
}

func TestLinksAndSpecialFilesStay(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	outside := filepath.Join(y.root, "outside")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(outside, "precious.old")
	if err := os.WriteFile(inner, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-100 * time.Hour)
	if err := errors.Join(
		os.Symlink(outside, filepath.Join(y.dir, "dir-link")), os.Symlink(inner, filepath.Join(y.dir, "link.old")),
		os.Mkdir(filepath.Join(y.dir, "dir.old"), 0o755), syscall.Mkfifo(filepath.Join(y.dir, "fifo.old"), 0o600),
		os.Chtimes(inner, long, long), os.Chtimes(filepath.Join(y.dir, "fifo.old"), long, long),
	); err != nil {
		t.Fatal(err)
	}
	y.file("a.old", 3*time.Hour)
	y.file("b.old", 2*time.Hour)
	y.run()
	if diff := cmp.Diff([]string{"b.old", "dir-link", "fifo.old", "link.old"}, y.left()); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(inner); err != nil {
		t.Error("a file behind a link was deleted")
	}
}

func TestAFileThatIsOpenStays(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	f, err := os.OpenFile(y.file("held.old", 9*time.Hour), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	y.file("a.old", 3*time.Hour)
	y.file("b.old", 2*time.Hour)
	y.run()
	if diff := cmp.Diff([]string{"b.old", "held.old"}, y.left()); diff != "" {
		t.Error(diff)
	}
}

func TestAFileThatChangedSinceThePlanStays(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(y *yard, path string) error{
		"written": func(_ *yard, path string) error { return os.WriteFile(path, []byte("alive"), 0o600) },
		"replaced by another": func(y *yard, path string) error {
			return errors.Join(os.Remove(path), os.Rename(y.file("other", 90*time.Hour), path))
		},
		"replaced by a link": func(y *yard, path string) error {
			return errors.Join(os.Remove(path), os.Symlink(filepath.Join(y.dir, "precious"), path))
		},
		"renamed": func(y *yard, path string) error { return os.Rename(path, filepath.Join(y.dir, "moved")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			y.file("precious", 90*time.Hour)
			path := y.file("a.old", 5*time.Hour)
			y.file("b.old", 4*time.Hour)
			y.file("c.old", 2*time.Hour)
			before := len(y.left())
			y.machine.beforeWrite = func() { // between the last look and the deletion
				if err := change(y, path); err != nil {
					t.Error(err)
				}
			}
			y.run()
			if n := len(y.left()); n != before-1 || slices.Contains(y.left(), "b.old") {
				t.Errorf("left %q", y.left())
			}
		})
	}
}

func TestOnlyInsideTheAllowList(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	outside := filepath.Join(y.root, "logs-of-others") // shares the prefix of the allowed one
	link := filepath.Join(y.dir, "link")
	if err := errors.Join(os.Mkdir(outside, 0o755), os.Symlink(outside, link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{outside, link, y.root, "/", "/etc"} {
		y.binding.Given["path"] = path
		if _, err := y.plan(); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: got %v, want denied", path, err)
		}
	}
	y.binding.Given["path"] = y.dir
	y.deps.CleanupRoots = nil
	if _, err := y.plan(); !fault.Is(err, fault.Denied) {
		t.Errorf("no allow-list: got %v, want denied", err)
	}
	y.deps.CleanupRoots = []string{"/"}
	if _, err := y.plan(); !fault.Is(err, fault.Denied) {
		t.Errorf("the root as allow-list: got %v, want denied", err)
	}
	real, alias := filepath.Join(y.dir, "real"), filepath.Join(y.root, "alias")
	if err := errors.Join(os.Mkdir(real, 0o755), os.Symlink(y.dir, alias)); err != nil {
		t.Fatal(err)
	}
	y.deps.CleanupRoots, y.binding.Given["path"] = []string{alias}, real
	if _, err := y.plan(); err != nil {
		t.Errorf("an allow-list behind a link: %v", err)
	}
}

func TestAFolderThatBecameALinkOutsideIsRefused(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	sub := filepath.Join(y.dir, "sub")
	y.file("sub/a.old", 5*time.Hour)
	y.file("sub/b.old", 4*time.Hour)
	y.binding.Given["path"] = sub
	p, err := y.plan()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(sub, filepath.Join(y.root, "moved")), os.Symlink(filepath.Join(y.root, "moved"), sub)); err != nil {
		t.Fatal(err)
	}
	res, err := engine.Run(t.Context(), y.machine, y.binding, engine.Approved{Digest: p.Digest}, y.deps)
	if err != nil || res.Status != runbooks.RunRefused || y.machine.writes != 0 {
		t.Errorf("%s (%s), error %v", res.Status, res.Why, err)
	}
}

func TestWithoutTheApprovedPlanNewFilesVoidIt(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.file("a.old", 5*time.Hour)
	y.file("b.old", 4*time.Hour)
	p, err := y.plan()
	if err != nil {
		t.Fatal(err)
	}
	again, err := y.plan()
	if err != nil || again.Digest != p.Digest {
		t.Errorf("the digest changes while the files do not; error %v", err)
	}
	y.file("c.old", 9*time.Hour)
	res, err := engine.Run(t.Context(), y.machine, y.binding, engine.Approved{Digest: p.Digest}, y.deps)
	if err != nil || res.Status != runbooks.RunRefused || len(y.left()) != 3 {
		t.Errorf("%s (%s), error %v", res.Status, res.Why, err)
	}
}

func TestManyFilesGoInBatchesAndNeverMoreThanTheBound(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	for i := range 1010 {
		y.file(fmt.Sprintf("%04d.old", i), time.Duration(3000-i)*time.Hour)
	}
	res := y.run()
	if res.Status != runbooks.RunVerified || y.machine.writes != 10 {
		t.Errorf("%s (%s), %d commands", res.Status, res.Why, y.machine.writes)
	}
	if left := y.left(); len(left) != 10 || left[0] != "1000.old" {
		t.Errorf("left %d: %q", len(left), left)
	}
}

func TestALostConnectionIsResolvedByLooking(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.file("a.old", 5*time.Hour)
	y.file("b.old", 4*time.Hour)
	y.machine.lose = true
	if res := y.run(); res.Status != runbooks.RunVerified || y.machine.writes != 1 {
		t.Errorf("%s (%s), %d writes", res.Status, res.Why, y.machine.writes)
	}
}

func TestAFileThatCannotBeDeletedIsNotVerified(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	path := y.file("a.old", 5*time.Hour)
	y.file("b.old", 4*time.Hour)
	y.machine.beforeWrite = func() { _ = os.Rename(path, filepath.Join(y.dir, "hidden")) } // same inode, another name
	if res := y.run(); res.Status != runbooks.RunRefuted || res.Steps[0].Verified {
		t.Errorf("%s (%s)", res.Status, res.Why)
	}
}

func TestEvidenceOfWhatIsDeletedIsKept(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.rule(`{path: "${inputs.path}", match: ["*.old"], min_age: 1h}`, "[log-tail, open-files]")
	y.file("a.old", 5*time.Hour)
	res := y.run()
	if res.Status != runbooks.RunVerified || !strings.Contains(string(res.Steps[0].Preserved["log-tail"]), "12345") {
		t.Errorf("%s (%s), kept %q", res.Status, res.Why, res.Steps[0].Preserved["log-tail"])
	}
}

func TestRulesThatAreNoRulesAreRefused(t *testing.T) {
	t.Parallel()
	for _, part := range []string{
		`{path: /x, match: ["*"], min_age: 1h}`, `{path: /x, match: ["**"], min_age: 1h}`, `{path: /x, match: ["?*"], min_age: 1h}`,
		`{path: /x, match: ["a/*"], min_age: 1h}`, `{path: /x, match: ["[a"], min_age: 1h}`, `{path: /x, match: [], min_age: 1h}`,
		`{path: /x, match: "*.old", min_age: 1h}`, `{path: /x, match: ["*.old"]}`, `{match: ["*.old"], min_age: 1h}`,
		`{path: /x, match: ["*.old"], min_age: 1h, recurse: true}`, `{path: "${inputs.none}", match: ["*.old"], min_age: 1h}`,
	} {
		if _, err := parse(part, "none"); err == nil {
			t.Errorf("%s was accepted", part)
		}
	}
	for _, part := range []string{
		`{path: "${inputs.path}", match: ["*.old"], min_age: soon}`, `{path: "${inputs.path}", match: ["*.old"], min_age: -1h}`,
		`{path: "${inputs.path}", match: ["*.old"], keep: -1, min_age: 1h}`, `{path: "${inputs.path}", match: ["*.old"], keep: all, min_age: 1h}`,
		`{path: "${inputs.path}/..", match: ["*.old"], min_age: 1h}`,
	} {
		y := newYard(t)
		rb, err := parse(part, "none")
		if err != nil {
			continue
		}
		y.binding.Runbook = rb
		if _, err := y.plan(); err == nil {
			t.Errorf("%s was planned", part)
		}
	}
}

package cleanup_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/cleanup"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// approve plans, and returns the plan as it comes back over the wire.
func (y *yard) approve() engine.Approved {
	y.t.Helper()
	p, err := y.plan()
	if err != nil {
		y.t.Fatal(err)
	}
	return engine.Approved{Digest: p.Digest, Plan: travel(y.t, p)}
}

func travel(t *testing.T, p runbooks.Plan) *runbooks.Plan {
	t.Helper()
	doc, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	back := &runbooks.Plan{}
	if err := json.Unmarshal(doc, back); err != nil {
		t.Fatal(err)
	}
	return back
}

func (y *yard) carryOut(a engine.Approved) runbooks.RunResult {
	y.t.Helper()
	res, err := engine.Run(y.t.Context(), y.machine, y.binding, a, y.deps)
	if err != nil {
		y.t.Fatal(err)
	}
	return res
}

// rewrite changes a file and sets its times back, as an attacker or rsync does.
// Only the time of the inode's change betrays it.
func rewrite(path string) error {
	before, err := os.Stat(path)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path, []byte("alive"), 0o600), os.Chtimes(path, before.ModTime(), before.ModTime()))
}

func TestARunIsNarrowerWhenTheFilesChanged(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(y *yard) error
		left   []string
		why    []string
		not    string
	}{
		"nothing": {
			change: func(*yard) error { return nil },
			left:   []string{"kept.old"}, why: []string{"every step was verified"}, not: "narrower",
		},
		"new file": {
			change: func(y *yard) error { y.file("new.old", 9*time.Hour); y.file("\nnew \xff.old", 3*time.Hour); return nil },
			left:   []string{"\nnew \xff.old", "kept.old", "new.old"},
			why:    []string{"every step was verified; narrower than approved: step clean left alone 2 files not in the approved plan"}, not: "did not find",
		},
		"approved file rewritten": {
			change: func(y *yard) error { return rewrite(filepath.Join(y.dir, "a.old")) },
			left:   []string{"a.old", "kept.old"},
			why:    []string{"left alone 1 file not in", "did not find 1 file as approved"},
		},
		"approved file replaced under its name": {
			change: func(y *yard) error {
				return errors.Join(os.Remove(filepath.Join(y.dir, "a.old")), os.Rename(y.file("other", 5*time.Hour), filepath.Join(y.dir, "a.old")))
			},
			left: []string{"a.old", "kept.old"}, why: []string{"left alone 1 file not in", "did not find 1 file as approved"},
		},
		"approved file in use": {
			change: func(y *yard) error {
				f, err := os.Open(filepath.Join(y.dir, "b.old"))
				y.t.Cleanup(func() { _ = f.Close() })
				return err
			},
			left: []string{"b.old", "kept.old"}, why: []string{"did not find 1 file as approved"}, not: "left alone",
		},
		"approved file gone": {
			change: func(y *yard) error { return os.Remove(filepath.Join(y.dir, "a.old")) },
			left:   []string{"kept.old"}, why: []string{"every step was verified", "did not find 1 file as approved"}, not: "left alone",
		},
		"the newest is gone, so that an approved one is the newest now": {
			change: func(y *yard) error { return os.Remove(filepath.Join(y.dir, "kept.old")) },
			left:   []string{"b.old"}, why: []string{"did not find 1 file as approved"},
		},
		"all gone": {
			change: func(y *yard) error {
				return errors.Join(os.Remove(filepath.Join(y.dir, "a.old")), os.Remove(filepath.Join(y.dir, "b.old")))
			},
			left: []string{"kept.old"}, why: []string{"every step was verified", "did not find 2 files as approved"},
		},
		"all gone and others there": {
			change: func(y *yard) error {
				y.file("new.old", 9*time.Hour)
				return errors.Join(os.Remove(filepath.Join(y.dir, "a.old")), os.Remove(filepath.Join(y.dir, "b.old")))
			},
			left: []string{"kept.old", "new.old"}, why: []string{"left alone 1 file not in", "did not find 2 files as approved"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			y.file("a.old", 5*time.Hour)
			y.file("b.old", 4*time.Hour)
			y.file("kept.old", 2*time.Hour)
			approved := y.approve()
			if err := tt.change(y); err != nil {
				t.Fatal(err)
			}
			res := y.carryOut(approved)
			if res.Status != runbooks.RunVerified || res.PlanDigest != approved.Digest {
				t.Errorf("%s (%s), plan %s", res.Status, res.Why, res.PlanDigest)
			}
			if diff := cmp.Diff(tt.left, y.left()); diff != "" {
				t.Errorf("left: %s", diff)
			}
			for _, want := range tt.why {
				if !strings.Contains(res.Why, want) {
					t.Errorf("why %q does not say %q", res.Why, want)
				}
			}
			if tt.not != "" && strings.Contains(res.Why, tt.not) {
				t.Errorf("why %q says %q", res.Why, tt.not)
			}
		})
	}
}

func TestWiderOrForgedIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files  []string
		forge  func(y *yard, a *engine.Approved)
		change func(y *yard)
		why    string
	}{
		"nothing was to go, and now something would": {
			change: func(y *yard) { y.file("new.old", 9*time.Hour) }, why: "step clean: it had nothing to change, and now would change something",
		},
		"a part more than approved": {
			files: []string{"a.old"},
			forge: func(y *yard, a *engine.Approved) {
				y.file("new.old", 9*time.Hour)
				wider := y.approve()
				a.Plan.Steps[0].Parts = wider.Plan.Steps[0].Parts
			}, why: "is not the one that was approved",
		},
		"a part less than approved": {
			files: []string{"a.old"}, forge: func(_ *yard, a *engine.Approved) { a.Plan.Steps[0].Parts = nil }, why: "is not the one that was approved",
		},
		"another plan, with its own digest": {
			files: []string{"a.old"},
			forge: func(y *yard, a *engine.Approved) {
				y.file("new.old", 9*time.Hour)
				a.Plan = y.approve().Plan
			}, why: "is not the one that was approved",
		},
		"forged although nothing changed": {
			files: []string{"a.old"}, forge: func(_ *yard, a *engine.Approved) { a.Plan.Steps[0].Diff = "" }, why: "is not the one that was approved",
		},
		"another user": {
			files: []string{"a.old"},
			forge: func(_ *yard, a *engine.Approved) {
				a.Plan.Steps[0].As = "app"
				a.Digest = runbooks.DigestPlan(*a.Plan)
			}, why: "step clean: ",
		},
		"nothing was to change although there are parts": {
			files: []string{"a.old"},
			forge: func(_ *yard, a *engine.Approved) {
				a.Plan.Steps[0].Noop = true
				a.Digest = runbooks.DigestPlan(*a.Plan)
			}, why: "step clean: it had nothing to change, and now would change something",
		},
		"a plan from before parts were named": {
			files: []string{"a.old"},
			forge: func(_ *yard, a *engine.Approved) {
				a.Plan.Steps[0].Parts = nil
				a.Digest = runbooks.DigestPlan(*a.Plan)
			}, why: "step clean: what it would change is no longer what was approved",
		},
		"another directory": {
			files: []string{"a.old"},
			change: func(y *yard) {
				y.file("sub/x.old", 9*time.Hour)
				y.file("sub/y.old", 8*time.Hour)
				y.binding.Given["path"] = filepath.Join(y.dir, "sub")
			}, why: "the inputs are others",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			y.file("kept.old", 2*time.Hour)
			for _, name := range tt.files {
				y.file(name, 5*time.Hour)
			}
			approved := y.approve()
			if tt.forge != nil {
				tt.forge(y, &approved)
			}
			if tt.change != nil {
				tt.change(y)
			}
			before := y.left()
			res := y.carryOut(approved)
			if res.Status != runbooks.RunRefused || !strings.Contains(res.Why, tt.why) {
				t.Errorf("%s (%s)", res.Status, res.Why)
			}
			if diff := cmp.Diff(before, y.left()); diff != "" || y.machine.writes != 0 {
				t.Errorf("%d writes, left %s", y.machine.writes, diff)
			}
		})
	}
}

// greedy is an action that does not narrow when it is told to.
type greedy struct{ cleanup.Action }

func (greedy) Narrow(c engine.Change, _ func(string) bool) (engine.Change, error) { return c, nil }

func TestAnActionThatDoesNotNarrowDoesNotRun(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.deps.Actions = []engine.Action{greedy{}}
	y.file("a.old", 5*time.Hour)
	y.file("kept.old", 2*time.Hour)
	approved := y.approve()
	y.file("new.old", 9*time.Hour)
	if res := y.carryOut(approved); res.Status != runbooks.RunFailed || y.machine.writes != 0 || len(y.left()) != 3 {
		t.Errorf("%s (%s), %d writes", res.Status, res.Why, y.machine.writes)
	}
}

func TestANarrowedRunThatHelpsTooLittleIsRefuted(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	path := y.file("a.old", 5*time.Hour)
	y.file("b.old", 4*time.Hour)
	y.file("kept.old", 2*time.Hour)
	approved := y.approve()
	y.file("new.old", 9*time.Hour)
	y.machine.beforeWrite = func() { _ = os.Rename(path, filepath.Join(y.dir, "hidden")) }
	res := y.carryOut(approved)
	if res.Status != runbooks.RunRefuted || !strings.Contains(res.Why, "refuted") || !strings.Contains(res.Why, "left alone 1 file") {
		t.Errorf("%s (%s)", res.Status, res.Why)
	}
}

func TestKilledInANarrowedRunExactlyTheNarrowedSetGoes(t *testing.T) {
	t.Parallel()
	killed := 0
	for dieAt := 1; dieAt <= 4; dieAt++ { // plan, intent, outcome, verified
		for _, written := range []bool{false, true} {
			t.Run(fmt.Sprintf("at-%d-written-%t", dieAt, written), func(t *testing.T) {
				y := newYard(t)
				y.file("a.old", 5*time.Hour)
				y.file("b.old", 4*time.Hour)
				changed := y.file("changed.old", 3*time.Hour)
				y.file("kept.old", 2*time.Hour)
				approved := y.approve()
				y.file("new.old", 9*time.Hour)
				if err := rewrite(changed); err != nil {
					t.Fatal(err)
				}
				j := &journal{dieAt: dieAt, written: written}
				y.deps.Journal = j
				if _, err := engine.Run(t.Context(), y.machine, y.binding, approved, y.deps); !errors.Is(err, errCrash) {
					t.Fatalf("it was not killed: %v", err)
				}
				killed++
				j.dieAt = 0
				y.file("newer.old", 8*time.Hour)
				res, err := engine.Resume(t.Context(), y.machine, y.binding, approved, y.deps)
				if err != nil || res.Status != runbooks.RunVerified || !strings.Contains(res.Why, "narrower than approved: step clean left alone ") {
					t.Errorf("%s (%s), error %v", res.Status, res.Why, err)
				}
				if diff := cmp.Diff([]string{"changed.old", "kept.old", "new.old", "newer.old"}, y.left()); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
	if killed != 8 {
		t.Errorf("%d kills", killed)
	}
}

func TestThePlanOfManyFilesStaysSmall(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	for i := range 1010 {
		y.file(fmt.Sprintf("%04d.old", i), time.Duration(3000-i)*time.Hour)
	}
	approved := y.approve()
	parts, err := json.Marshal(approved.Plan.Steps[0].Parts)
	if err != nil || len(approved.Plan.Steps[0].Parts) != runbooks.MaxParts || len(parts) > 40*runbooks.MaxParts {
		t.Errorf("%d parts in %d bytes, error %v", len(approved.Plan.Steps[0].Parts), len(parts), err)
	}
	y.file("older.old", 4000*time.Hour)
	if res := y.carryOut(approved); res.Status != runbooks.RunVerified || len(y.left()) != 12 {
		t.Errorf("%s (%s), left %d: %q", res.Status, res.Why, len(y.left()), y.left())
	}
}

package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// crashes runs a story again and again, killing the agent at every record: the
// record on disk or not, and once more at every record of the resumption. How
// many records there are is counted in a run that nobody kills: that a kill did
// not come about would also be so of a test that is not run, which is what
// -failfast does with those that are left when another test has failed.
func crashes(t *testing.T, spec string, check func(t *testing.T, w *world, res runbooks.RunResult)) {
	t.Helper()
	w := newWorld(t, spec)
	check(t, w, w.run(t.Context()))
	records := w.journal.appends
	if records < 6 {
		t.Fatalf("the story has only %d records", records)
	}
	for _, written := range []bool{false, true} {
		for first := 1; first <= records; first++ {
			for second := range 3 {
				t.Run(fmt.Sprintf("written-%t-at-%d-then-%d", written, first, second), func(t *testing.T) {
					crash(t, spec, written, first, second, check)
				})
			}
		}
	}
}

func crash(t *testing.T, spec string, written bool, first, second int, check func(t *testing.T, w *world, res runbooks.RunResult)) {
	t.Helper()
	w := newWorld(t, spec)
	digest := w.plan().Digest
	w.journal.dieAt, w.journal.written = first, written
	res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if !errors.Is(err, errCrash) {
		t.Fatalf("it was not killed at its record %d: %s (%s), %v", first, res.Status, res.Why, err)
	}
	for at := second; err != nil; at = 0 {
		w.journal.dieAt, w.journal.appends = at, 0
		res, err = engine.Resume(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
	}
	check(t, w, res)
}

func TestKilledAnywhereNoStepActsTwice(t *testing.T) {
	t.Parallel()
	crashes(t, verified(), func(t *testing.T, w *world, res runbooks.RunResult) {
		if w.lines("one") > 1 || w.lines("two") > 1 {
			t.Fatalf("one acted %d times, two %d times", w.lines("one"), w.lines("two"))
		}
		switch res.Status {
		case runbooks.RunVerified:
			if w.lines("one") != 1 || w.lines("two") != 1 {
				t.Errorf("verified, but one acted %d and two %d times", w.lines("one"), w.lines("two"))
			}
		case runbooks.RunUnknown: // between intent and outcome, and nobody to ask
		default:
			t.Errorf("the run is %s: %s", res.Status, res.Why)
		}
	})
}

func TestKilledAnywhereARunThatCanAskIsFinished(t *testing.T) {
	t.Parallel()
	spec := strings.Replace(verified(), "- id: first", "- id: first\n      repeat: {ask: one.n > 0}", 1)
	spec = strings.Replace(spec, "- id: second", "- id: second\n      repeat: {ask: two.n > 0}", 1)
	crashes(t, spec, func(t *testing.T, w *world, res runbooks.RunResult) {
		w.status(res, runbooks.RunVerified, runbooks.StepVerified, runbooks.StepVerified)
		if w.lines("one") != 1 || w.lines("two") != 1 {
			t.Errorf("one acted %d times, two %d times", w.lines("one"), w.lines("two"))
		}
	})
}

func TestKilledAnywhereNothingIsUndoneTwice(t *testing.T) {
	t.Parallel()
	spec := strings.Replace(refuted(), "- id: first", "- id: first\n      repeat: {ask: one.n > 0}", 1)
	spec = strings.Replace(spec, "- id: second", "- id: second\n      repeat: {ask: two.n > 0}", 1)
	crashes(t, spec, func(t *testing.T, w *world, res runbooks.RunResult) {
		for _, name := range []string{"one", "two", "one-undone", "two-undone"} {
			if w.lines(name) > 1 {
				t.Fatalf("%s: %d times", name, w.lines(name))
			}
		}
		switch res.Status {
		case runbooks.RunUndone:
			if w.lines("one-undone") != 1 || w.lines("two-undone") != 1 {
				t.Error("undone, but not everything was taken back")
			}
		case runbooks.RunUnknown: // in the middle of an undo
		default:
			t.Errorf("the run is %s: %s", res.Status, res.Why)
		}
	})
}

func TestWhenTheIntentCannotBeRecordedTheStepDoesNotRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	digest := w.plan().Digest
	w.journal.dieAt = 2 // the plan is recorded, the first intent is not
	res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if !errors.Is(err, errCrash) || res.Status != runbooks.RunFailed {
		t.Errorf("%s, error %v", res.Status, err)
	}
	if w.machine.writes() != 0 {
		t.Error("a step ran without its intent on disk")
	}
}

func TestEvidenceSurvivesACrash(t *testing.T) {
	t.Parallel()
	spec := strings.Replace(verified(), "- id: first", "- id: first\n      preserve: [processes]\n      repeat: {ask: one.n > 0}", 1)
	w := newWorld(t, spec)
	digest := w.plan().Digest
	w.journal.dieAt = 3 // acted, and the outcome is lost
	if _, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	w.journal.dieAt = 0
	res, err := engine.Resume(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	w.status(res, runbooks.RunVerified)
	if len(res.Steps[0].Preserved["processes"]) == 0 {
		t.Error("the evidence was lost")
	}
}

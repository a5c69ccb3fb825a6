package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// soonVerified is verified at once, long before the deadman's time is over.
var soonVerified = strings.Replace(firewall, "within: 1s, hold: 10m", "within: 1s", 1)

// TestAStepThatLooksWellWaitsUntilTheControllerIsHeard: what is measured from
// inside says nothing of who was cut off.
func TestAStepThatLooksWellWaitsUntilTheControllerIsHeard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		heardAfter time.Duration // 0: never
		want       runbooks.RunStatus
		least      time.Duration
		most       time.Duration
	}{
		"heard after two minutes":  {2 * time.Minute, runbooks.RunVerified, 2 * time.Minute, 2*time.Minute + 5*time.Second},
		"heard after four minutes": {4 * time.Minute, runbooks.RunUndone, 3 * time.Minute, 3*time.Minute + 5*time.Second},
		"never heard":              {0, runbooks.RunUndone, 3 * time.Minute, 3*time.Minute + 5*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, now := played(t, soonVerified)
			began := *now
			w.deps.Heard = func() time.Time {
				if c.heardAfter > 0 && now.Sub(began) > c.heardAfter {
					return *now
				}
				return began.Add(-time.Second)
			}
			undone := 0
			if c.want == runbooks.RunUndone {
				undone = 1
			}
			res := w.run(t.Context())
			if res.Status != c.want || w.lines("one-undone") != undone {
				t.Errorf("%s (%s), undone %d times", res.Status, res.Why, w.lines("one-undone"))
			}
			if took := now.Sub(began); took < c.least || took > c.most {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestWhatIsHeardWhileTheStepActsDoesNotCount: until it has acted it has cut
// nothing off.
func TestWhatIsHeardWhileTheStepActsDoesNotCount(t *testing.T) {
	t.Parallel()
	w, now := played(t, soonVerified)
	began := *now
	w.deps.Heard = func() time.Time { return began.Add(time.Second) }
	w.machine.after = func(remote.Command) error {
		*now = now.Add(5 * time.Second)
		return nil
	}
	res := w.run(t.Context())
	if res.Status != runbooks.RunUndone || w.lines("one-undone") != 1 || !strings.Contains(res.Why, "cut off its own host") {
		t.Errorf("%s (%s), undone %d times", res.Status, res.Why, w.lines("one-undone"))
	}
}

// already is a step that has nothing to change.
type already struct{ engine.Action }

func (already) Plan(context.Context, *engine.Env) (engine.Change, error) {
	return engine.Change{Noop: true}, nil
}

// TestAStepThatChangesNothingCutsNothingOff: it waits for nobody, not even where
// the controller was never heard from.
func TestAStepThatChangesNothingCutsNothingOff(t *testing.T) {
	t.Parallel()
	w, now := played(t, strings.Replace(soonVerified, "one.n > 0, within", "one.n == 0, within", 1))
	for i, a := range w.deps.Actions {
		if a.Name() == "run" {
			w.deps.Actions[i] = already{a}
		}
	}
	began := *now
	w.deps.Heard = func() time.Time { return time.Time{} }
	res := w.run(t.Context())
	if res.Status != runbooks.RunVerified || w.machine.writes() != 0 || now.Sub(began) > time.Second {
		t.Errorf("%s (%s) after %s, %d commands", res.Status, res.Why, now.Sub(began), w.machine.writes())
	}
}

// TestACutOffStepIsNotMeasuredToItsEnd: its deadman's time is over long before
// that of its verification, which has not been true yet.
func TestACutOffStepIsNotMeasuredToItsEnd(t *testing.T) {
	t.Parallel()
	w, now := played(t, strings.Replace(firewall, "one.n > 0, within: 1s, hold: 10m", "one.n > 5, within: 20m", 1))
	began := *now
	w.deps.Heard = func() time.Time { return began.Add(-time.Second) }
	res := w.run(t.Context())
	if res.Status != runbooks.RunUndone || w.lines("one-undone") != 1 || !strings.Contains(res.Why, "cut off its own host") {
		t.Errorf("%s (%s), undone %d times", res.Status, res.Why, w.lines("one-undone"))
	}
	if took := now.Sub(began); took < 3*time.Minute || took > 3*time.Minute+15*time.Second {
		t.Errorf("it took %s", took)
	}
}

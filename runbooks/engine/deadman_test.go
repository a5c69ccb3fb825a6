package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

const firewall = `
  deadman: 3m
  probes:
    one: {probe: file.lines, with: {path: DIR/one}}
  steps:
    - id: shut
      run: [sh, -c, 'echo x >> DIR/one']
      may_cut_access: true
      verify: {that: one.n > 0, within: 1s, hold: 10m}
      repeat: {ask: one.n > 0}
      undo: {run: [sh, -c, 'echo x >> DIR/one-undone']}
  limits: {deadline: 2h}
`

// played is a world whose time passes only by waiting.
func played(t *testing.T, spec string) (*world, *time.Time) {
	w := newWorld(t, spec)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.deps.Now = func() time.Time { return now }
	w.deps.Sleep = func(ctx context.Context, d time.Duration) bool { now = now.Add(d); return ctx.Err() == nil }
	return w, &now
}

func TestAStepThatCutsOffItsHostIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		heard  func(began time.Time, now time.Time) time.Time
		want   runbooks.RunStatus
		undone int
		within time.Duration
	}{
		"nothing is heard": {func(began, _ time.Time) time.Time { return began.Add(-time.Second) }, runbooks.RunUndone, 1, 4 * time.Minute},
		"it is heard in time": {func(began, now time.Time) time.Time {
			if now.Sub(began) > 2*time.Minute {
				return now
			}
			return began.Add(-time.Second)
		}, runbooks.RunVerified, 0, 11 * time.Minute},
		"it is heard too late": {func(began, now time.Time) time.Time {
			if now.Sub(began) > 3*time.Minute+30*time.Second {
				return now
			}
			return began.Add(-time.Second)
		}, runbooks.RunUndone, 1, 4 * time.Minute},
		"it is heard all the time": {func(_, now time.Time) time.Time { return now.Add(time.Second) }, runbooks.RunVerified, 0, 11 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, now := played(t, firewall)
			began := *now
			w.deps.Heard = func() time.Time { return c.heard(began, *now) }
			// The lease lapses while the host is cut off: that must not keep the step from being taken back.
			ctx, suspend := context.WithCancelCause(t.Context())
			w.deps.OnEvent = func(e engine.Event) {
				if e.Kind == "step" && e.Status == runbooks.StepVerifying {
					suspend(engine.ErrSuspended)
				}
			}
			res := w.run(ctx)
			if res.Status != c.want || w.lines("one") != 1 || w.lines("one-undone") != c.undone {
				t.Errorf("%s (%s); acted %d times, undone %d times", res.Status, res.Why, w.lines("one"), w.lines("one-undone"))
			}
			if took := now.Sub(began); took > c.within {
				t.Errorf("it took %s", took)
			}
			if c.undone > 0 && !strings.Contains(res.Why, "cut off its own host") {
				t.Errorf("says %q", res.Why)
			}
		})
	}
}

func TestOnlyAnAgentOnItsHostMayCutItOff(t *testing.T) {
	t.Parallel()
	w, _ := played(t, firewall)
	if p := w.plan(); !strings.Contains(p.Refused, "only an agent that runs on here itself") {
		t.Errorf("refused %q", p.Refused)
	}
	if res := w.run(t.Context()); res.Status != runbooks.RunRefused || w.lines("one") != 0 {
		t.Errorf("%s (%s)", res.Status, res.Why)
	}
}

// TestKilledWhileItIsCutOffItIsTakenBackAllTheSame: the time goes on while the
// agent is away.
func TestKilledWhileItIsCutOffItIsTakenBackAllTheSame(t *testing.T) {
	t.Parallel()
	for _, kind := range []engine.RecordKind{engine.RecordIntent, engine.RecordOutcome, engine.RecordVerified, engine.RecordLeaving} {
		w, now := played(t, firewall)
		before := now.Add(-time.Second)
		w.deps.Heard = func() time.Time { return before }
		if res := killedOn(t, w, kind); res.Status != runbooks.RunUndone || w.lines("one-undone") != 1 {
			t.Errorf("killed on %s: %s (%s), undone %d times", kind, res.Status, res.Why, w.lines("one-undone"))
		}
	}
}

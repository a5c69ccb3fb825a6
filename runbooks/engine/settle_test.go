package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

// slowWitness sees the change only after a while, as when the command outlives
// the agent that was killed over it.
type slowWitness struct {
	Action

	seenAt time.Time
}

func (w slowWitness) DidItHappen(context.Context, *Env, Change, time.Time) Reading {
	if time.Now().Before(w.seenAt) {
		return Reading{Truth: expr.False, Text: "not yet"}
	}
	return Reading{Truth: expr.True, Text: "it is there"}
}

func looking(w slowWitness) *stepRun {
	return &stepRun{
		run: &run{d: Deps{Now: time.Now}}, scope: &scope{}, action: w,
		step:   runbooks.Step{ID: "s", Timeout: time.Minute, Effect: runbooks.Write},
		result: runbooks.StepResult{StartedAt: time.Now()},
		past:   history{attempt: 1, intent: &intentRecord{StartedAt: time.Now()}},
	}
}

func TestANoIsBelievedOnlyWhenTheCommandCanNoLongerBeAtWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after, stop time.Duration
		want        expr.Truth
		within      time.Duration
	}{
		"it happened while we looked": {after: 50 * time.Second, want: expr.True, within: 52 * time.Second},
		// Begun when its time-out of a minute was just not over, and ended by its target a minute, a second and a grace later.
		"it happened at the last moment":   {after: 125 * time.Second, want: expr.True, within: 126 * time.Second},
		"it never happened":                {after: time.Hour, want: expr.False, within: 126 * time.Second},
		"told to stop before that is sure": {after: time.Hour, stop: 5 * time.Second, want: expr.CannotTell, within: 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.stop > 0 {
					time.AfterFunc(c.stop, cancel)
				}
				began := time.Now()
				got := looking(slowWitness{seenAt: began.Add(c.after)}).lookUntilSettled(ctx)
				if got.Truth != c.want {
					t.Errorf("got %+v, want %s", got, c.want)
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

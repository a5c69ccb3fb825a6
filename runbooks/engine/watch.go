package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

// Bounds of a verification.
const (
	verifyAtMostEvery = 10 * time.Second // what the pause between two questions grows to
	askTimeout        = 30 * time.Second // for one question
	maxMeasured       = 40               // readings that a result keeps
)

// verdict is the end of a verification.
type verdict struct {
	verified bool
	cut      bool   // the run was stopped before it could be said
	why      string // it is not verified
	// cannotTell is of one that is not verified, and was not false when last asked.
	cannotTell bool
	measured   []string
}

// watch asks a question until it is true, which it must become within
// v.Within, and then stay for v.Hold. False within the hold refutes at once.
// Cannot tell is never taken for true: it starts the hold again, and the whole
// watch still ends after Within and Hold. When ctx ends, the question is asked
// once more and its answer decides, so that a stop leaves nothing unjudged.
type watch struct {
	Verify runbooks.Verify
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) bool
	Ask    func(ctx context.Context) Reading

	measured []string
}

func (w *watch) run(ctx context.Context) verdict {
	start := w.Now()
	end := start.Add(w.Verify.Within + w.Verify.Hold)
	var since time.Time // it has been true without a gap since then
	pause := runbooks.VerifyEvery
	for {
		got := w.ask(ctx)
		now := w.Now()
		switch {
		case ctx.Err() != nil:
			return w.stopped(ctx)
		case got.Truth == expr.True:
			if since.IsZero() {
				since, pause = now, runbooks.VerifyEvery
			}
			if now.Sub(since) >= w.Verify.Hold {
				return verdict{verified: true, measured: w.measured}
			}
		case got.Truth == expr.False && !since.IsZero():
			return w.refuted("it held for %s and then did not: %s", now.Sub(since).Round(time.Second), got.Text)
		default:
			since = time.Time{}
		}
		if since.IsZero() && now.Sub(start) >= w.Verify.Within || now.After(end) {
			v := w.refuted("it was not measured true within %s: %s", w.Verify.Within, got.Text)
			v.cannotTell = got.Truth == expr.CannotTell
			return v
		}
		next := end
		if since.IsZero() {
			next = start.Add(w.Verify.Within)
		} else if held := since.Add(w.Verify.Hold); held.Before(next) {
			next = held
		}
		if !w.Sleep(ctx, min(pause, max(next.Sub(now), time.Millisecond))) {
			return w.stopped(ctx)
		}
		pause = min(pause+pause/2, verifyAtMostEvery)
	}
}

// stopped judges when the run is stopped. One that is only left as it is, to be
// resumed or because a step beside it did not go on, is not judged.
func (w *watch) stopped(ctx context.Context) verdict {
	if leftAsItIs(ctx) {
		return verdict{cut: true, why: "stopped while it was verified", measured: w.measured}
	}
	got := w.ask(context.WithoutCancel(ctx))
	if got.Truth == expr.True {
		return verdict{cut: true, why: "stopped before its hold was over, true when last measured", measured: w.measured}
	}
	return w.refuted("the run was stopped before it was true: %s", got.Text)
}

func (w *watch) refuted(format string, args ...any) verdict {
	return verdict{why: fmt.Sprintf(format, args...), measured: w.measured}
}

// ask asks once, and notes the answer when it is not the one before. The first
// answers and the last are kept.
func (w *watch) ask(ctx context.Context) Reading {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	got := w.Ask(ctx)
	n := len(w.measured)
	switch {
	case n > 0 && w.measured[n-1] == got.Text:
	case n < maxMeasured:
		w.measured = append(w.measured, got.Text)
	default:
		w.measured[n-1] = got.Text
	}
	return got
}

// leftAsItIs reports whether ctx ended for a reason that says nothing of the step.
func leftAsItIs(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, ErrSuspended) || errors.Is(cause, errBeside)
}

// sleep waits, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

// phase is what the answer is from a second on.
type phase struct {
	from  int
	truth expr.Truth
}

// answers gives the truth of the last phase that has begun.
func answers(start time.Time, phases []phase, asked *[]int) func(context.Context) Reading {
	return func(context.Context) Reading {
		second := int(time.Since(start) / time.Second)
		*asked = append(*asked, second)
		got := Reading{Truth: expr.False}
		for _, p := range phases {
			if second >= p.from {
				got.Truth = p.truth
			}
		}
		got.Text = string(got.Truth)
		return got
	}
}

func TestVerification(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		within, hold int // seconds
		phases       []phase
		verified     bool
		endsBy       int
	}{
		{"true at once", 60, 0, []phase{{0, expr.True}}, true, 0},
		{"true in time", 60, 0, []phase{{20, expr.True}}, true, 30},
		{"true at the last moment", 60, 0, []phase{{60, expr.True}}, true, 60},
		{"too late", 60, 0, []phase{{61, expr.True}}, false, 60},
		{"never", 60, 300, nil, false, 60},
		{"never told", 60, 30, []phase{{0, expr.CannotTell}}, false, 60},
		{"held", 60, 300, []phase{{5, expr.True}}, true, 310},
		{"false in the hold", 60, 300, []phase{{0, expr.True}, {100, expr.False}}, false, 110},
		{"false in the hold, then true again", 60, 300, []phase{{0, expr.True}, {100, expr.False}, {120, expr.True}}, false, 110},
		{"false at the end of the hold", 60, 300, []phase{{0, expr.True}, {300, expr.False}}, false, 300},
		{"not told at the end", 60, 30, []phase{{0, expr.True}, {20, expr.CannotTell}}, false, 90},
		{"not told for a while, held again in time", 60, 30, []phase{{0, expr.True}, {10, expr.CannotTell}, {20, expr.True}}, true, 60},
		{"not told for a while, no time left to hold", 10, 100, []phase{{0, expr.True}, {50, expr.CannotTell}, {60, expr.True}}, false, 110},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var asked []int
				w := watch{
					Verify: runbooks.Verify{Within: time.Duration(tt.within) * time.Second, Hold: time.Duration(tt.hold) * time.Second},
					Now:    time.Now, Sleep: sleep, Ask: answers(start, tt.phases, &asked),
				}
				got := w.run(t.Context())
				if got.verified != tt.verified || got.cut {
					t.Errorf("verified %t (%s), want %t; asked at %v", got.verified, got.why, tt.verified, asked)
				}
				if took := int(time.Since(start) / time.Second); took > tt.endsBy {
					t.Errorf("took %d s, want at most %d; asked at %v", took, tt.endsBy, asked)
				}
				for i := 1; i < len(asked); i++ {
					if asked[i]-asked[i-1] > int(verifyAtMostEvery/time.Second) {
						t.Errorf("looked away from %d s to %d s", asked[i-1], asked[i])
					}
				}
				if got.verified && len(tt.phases) > 0 && int(time.Since(start)/time.Second) < tt.hold {
					t.Error("verified before the hold was over")
				}
				if len(got.measured) > maxMeasured {
					t.Errorf("%d readings kept", len(got.measured))
				}
			})
		})
	}
}

func TestAStopAsksOnceMore(t *testing.T) {
	t.Parallel()
	for truth, cut := range map[expr.Truth]bool{expr.True: true, expr.False: false, expr.CannotTell: false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
			defer cancel()
			start := time.Now()
			var asked []int
			w := watch{
				Verify: runbooks.Verify{Within: time.Minute, Hold: time.Hour}, Now: time.Now, Sleep: sleep,
				Ask: answers(start, []phase{{0, truth}}, &asked),
			}
			if truth == expr.False {
				w.Ask = answers(start, []phase{{0, expr.CannotTell}, {7, expr.False}}, &asked)
			}
			got := w.run(ctx)
			if got.verified || got.cut != cut || time.Since(start) > 8*time.Second {
				t.Errorf("%s: %+v after %s", truth, got, time.Since(start))
			}
		})
	}
}

func TestReadingsThatAreKeptAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch{
			Verify: runbooks.Verify{Within: time.Hour}, Now: time.Now, Sleep: sleep,
			Ask: func(context.Context) Reading { return Reading{Truth: expr.False, Text: time.Now().String()} },
		}
		got := w.run(t.Context())
		if len(got.measured) != maxMeasured || got.verified {
			t.Errorf("%d readings kept", len(got.measured))
		}
	})
}

package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// TestARunBeginsOnlyWhenEnoughPeopleSaidYes: the agent counts them itself.
func TestARunBeginsOnlyWhenEnoughPeopleSaidYes(t *testing.T) {
	t.Parallel()
	spec := flow([]string{"one", "two"}, `
    - {id: two-of-us, approve: {count: 2, role: engineer, within: 30m, say: look at DIR}}
    - {id: three-of-us, if: one.n > 9, approve: {count: 3}}
    - {id: one-of-us, approve: {count: 1, within: 5m}}
    - `+writes("act", "two")+`
`)
	for name, c := range map[string]struct {
		by   []string
		want runbooks.RunStatus
		acts int
	}{
		"nobody":            {nil, runbooks.RunRefused, 0},
		"one":               {[]string{"ada"}, runbooks.RunRefused, 0},
		"one of them twice": {[]string{"ada", "ada"}, runbooks.RunRefused, 0},
		"two":               {[]string{"ada", "bob"}, runbooks.RunVerified, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, spec)
			p := w.plan()
			if p.Approvals != 2 || p.ApproveRole != "engineer" || p.ApproveWithin != 5*time.Minute || !strings.Contains(p.Steps[0].Diff, "2 different people of role engineer, within 30m0s: look at "+w.dir) {
				t.Fatalf("plan asks for %d of role %q within %s: %q", p.Approvals, p.ApproveRole, p.ApproveWithin, p.Steps[0].Diff)
			}
			res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: p.Digest, Plan: &p, By: c.by}, w.deps)
			if err != nil || res.Status != c.want || w.lines("two") != c.acts {
				t.Errorf("%s (%s), %v; acted %d times", res.Status, res.Why, err, w.lines("two"))
			}
		})
	}
}

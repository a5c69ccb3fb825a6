package engine_test

import (
	"testing"

	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// TestWhoApprovedTwiceIsOnePerson: also beside others, in whatever order the
// controller says it. The agent counts by itself, so that it need not believe.
func TestWhoApprovedTwiceIsOnePerson(t *testing.T) {
	t.Parallel()
	spec := flow([]string{"one"}, "    - {id: three-of-us, approve: {count: 3}}\n    - "+writes("act", "one")+"\n")
	for _, c := range []struct {
		by   []string
		want runbooks.RunStatus
	}{
		{[]string{"ada", "ada", "ada"}, runbooks.RunRefused},
		{[]string{"ada", "bob", "ada"}, runbooks.RunRefused},
		{[]string{"ada", "bob", "bob"}, runbooks.RunRefused},
		{[]string{"ada", "bob", "ada", "cleo"}, runbooks.RunVerified},
	} {
		w := newWorld(t, spec)
		p := w.plan()
		res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: p.Digest, Plan: &p, By: c.by}, w.deps)
		if err != nil || res.Status != c.want || (w.lines("one") > 0) != (c.want == runbooks.RunVerified) {
			t.Errorf("%q: %s (%s), %v; acted %d times", c.by, res.Status, res.Why, err, w.lines("one"))
		}
	}
}

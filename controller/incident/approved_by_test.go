package incident

import (
	"slices"
	"testing"

	"github.com/secondline-ops/secondline/runbooks"
)

// TestOnlyWhoApprovedThePlanAsItIsNowCounts, each person once. What somebody said
// yes to before the plan changed was another plan.
func TestOnlyWhoApprovedThePlanAsItIsNowCounts(t *testing.T) {
	t.Parallel()
	yes := func(by, digest string) Approval { return Approval{By: by, Approved: true, PlanDigest: digest} }
	no := Approval{By: "cleo", PlanDigest: "now"}
	for name, c := range map[string]struct {
		decisions []Approval
		by        []string
		missing   int
	}{
		"nobody":                           {nil, []string{}, 2},
		"one":                              {[]Approval{yes("ada", "now")}, []string{"ada"}, 1},
		"two":                              {[]Approval{yes("ada", "now"), yes("bob", "now")}, []string{"ada", "bob"}, 0},
		"more than it asks for":            {[]Approval{yes("ada", "now"), yes("bob", "now"), yes("cleo", "now")}, []string{"ada", "bob", "cleo"}, 0},
		"one of them an older plan":        {[]Approval{yes("ada", "before"), yes("bob", "now")}, []string{"bob"}, 1},
		"one of them no plan":              {[]Approval{yes("ada", ""), yes("bob", "now")}, []string{"bob"}, 1},
		"both an older plan":               {[]Approval{yes("ada", "before"), yes("bob", "before")}, []string{}, 2},
		"one twice":                        {[]Approval{yes("ada", "now"), yes("ada", "now")}, []string{"ada"}, 1},
		"one twice, and the other between": {[]Approval{yes("ada", "now"), yes("bob", "before"), yes("ada", "now")}, []string{"ada"}, 1},
		"one again after the plan changed": {[]Approval{yes("ada", "before"), yes("ada", "now")}, []string{"ada"}, 1},
		"one said no":                      {[]Approval{yes("ada", "now"), no}, []string{"ada"}, 1},
	} {
		run := Run{Plan: &runbooks.Plan{Digest: "now", Approvals: 2}, Decisions: c.decisions}
		if got := run.ApprovedBy(); !slices.Equal(got, c.by) || run.MissingApprovals() != c.missing {
			t.Errorf("%s: approved by %q, %d missing; want %q, %d", name, got, run.MissingApprovals(), c.by, c.missing)
		}
	}
	none := Run{Decisions: []Approval{yes("ada", "")}}
	if got := none.ApprovedBy(); len(got) != 0 || none.MissingApprovals() != 0 {
		t.Errorf("a run without a plan is approved by %q, %d missing", got, none.MissingApprovals())
	}
	one := Run{Plan: &runbooks.Plan{Digest: "now"}}
	if one.MissingApprovals() != 1 {
		t.Errorf("a plan that asks for nobody misses %d", one.MissingApprovals())
	}
}

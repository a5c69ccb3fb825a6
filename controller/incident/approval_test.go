package incident

import (
	"testing"

	"github.com/secondline-ops/secondline/runbooks"
)

// TestOnePersonIsOneVote, by whatever spelling; and a yes to another plan is none.
func TestOnePersonIsOneVote(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		decisions []Approval
		missing   int
	}{
		"two people":   {[]Approval{{By: "ada", Approved: true, PlanDigest: "p"}, {By: "bob", Approved: true, PlanDigest: "p"}}, 0},
		"one twice":    {[]Approval{{By: "ada", Approved: true, PlanDigest: "p"}, {By: "ada", Approved: true, PlanDigest: "p"}}, 1},
		"one spelt":    {[]Approval{{By: "ada", Approved: true, PlanDigest: "p"}, {By: "Ada ", Approved: true, PlanDigest: "p"}}, 1},
		"another plan": {[]Approval{{By: "ada", Approved: true, PlanDigest: "p"}, {By: "bob", Approved: true, PlanDigest: "old"}}, 1},
		"a no":         {[]Approval{{By: "ada", Approved: true, PlanDigest: "p"}, {By: "bob", PlanDigest: "p"}}, 1},
		"nobody":       {nil, 2},
	} {
		run := Run{Decisions: c.decisions, Plan: &runbooks.Plan{Digest: "p", Approvals: 2}}
		if got := run.MissingApprovals(); got != c.missing {
			t.Errorf("%s: %d missing, want %d; %v", name, got, c.missing, run.ApprovedBy())
		}
	}
	if (&Run{}).MissingApprovals() != 0 {
		t.Error("a run without a plan misses somebody")
	}
}

package runbooks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

func TestAnApprovalIsBounded(t *testing.T) {
	t.Parallel()
	for approve, want := range map[string]string{
		"{count: 0}":                           "count is 0",
		"{count: -1}":                          "count is -1",
		"{count: 11}":                          "count is 11",
		"{count: 1, within: 0s}":               "within is 0s",
		"{count: 1, within: 999h}":             "within is 999h",
		"{count: 1, role: viewer}":             "role",
		"{count: 1}":                           "",
		"{count: 10, within: 1h, role: admin}": "",
	} {
		rb, err := Parse("x.yaml", []byte(flowing("    - {id: ask, approve: "+approve+"}\n")), testOptions())
		if want == "" {
			if err != nil || rb.Steps[0].With.(Approval).Count < 1 {
				t.Errorf("%s: %v", approve, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", approve, err, want)
		}
	}
}

// TestWhatFollowsARunAsksNobody: nobody would see the question in time.
func TestWhatFollowsARunAsksNobody(t *testing.T) {
	t.Parallel()
	for _, phase := range []Phase{PhaseOnFailure, PhaseAlways} {
		_, err := Parse("x.yaml", []byte(flowing(fmt.Sprintf("    - {id: n, note: x}\n  %s:\n    - {id: ask, approve: {count: 1}}\n", phase))), testOptions())
		if all := yamlx.Errors(err); len(all) != 1 || all[0].Rule != RuleForm || !strings.Contains(all[0].Message, "approve stands among the steps") {
			t.Errorf("%s: %v", phase, err)
		}
	}
}

// TestAPlanAsksForTheMost of all its steps, whatever their order.
func TestAPlanAsksForTheMost(t *testing.T) {
	t.Parallel()
	steps := []Approval{
		{Count: 2, Within: time.Hour, Role: "engineer"}, {Count: 3}, {Count: 1, Within: 5 * time.Minute, Role: "operator"},
	}
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		var p Plan
		for _, i := range order {
			p.Ask(steps[i])
		}
		if p.Approvals != 3 || p.ApproveRole != "engineer" || p.ApproveWithin != 5*time.Minute {
			t.Errorf("in the order %v: %d of role %q within %s", order, p.Approvals, p.ApproveRole, p.ApproveWithin)
		}
	}
}

// TestADigestCoversWhoMustSayYesAndHowOftenItMayRun: else a plan for which an
// operator said yes would be the same as one that asks for an admin.
func TestADigestCoversWhoMustSayYesAndHowOftenItMayRun(t *testing.T) {
	t.Parallel()
	asks := func() Plan {
		p := testPlan()
		p.Approvals, p.ApproveRole = 1, "operator"
		p.Rates = []PlannedRate{{Name: "free-space on db1", Most: 2, Within: time.Hour}}
		return p
	}
	seen := map[string]string{DigestPlan(asks()): "the plan itself"}
	for name, change := range map[string]func(*Plan){
		"people":      func(p *Plan) { p.Approvals = 2 },
		"role":        func(p *Plan) { p.ApproveRole = "admin" },
		"no role":     func(p *Plan) { p.ApproveRole = "" },
		"rate name":   func(p *Plan) { p.Rates[0].Name = "free-space" },
		"rate most":   func(p *Plan) { p.Rates[0].Most = 3 },
		"rate within": func(p *Plan) { p.Rates[0].Within = time.Minute },
		"rate less":   func(p *Plan) { p.Rates = nil },
	} {
		p := asks()
		change(&p)
		got := DigestPlan(p)
		if other, ok := seen[got]; ok {
			t.Errorf("%s: the digest of %s", name, other)
		}
		seen[got] = name
	}
	p := asks()
	p.ApproveWithin = time.Minute
	if _, ok := seen[DigestPlan(p)]; !ok {
		t.Error("when a person is called is in the digest; it is a time")
	}
}

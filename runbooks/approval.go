package runbooks

import (
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// MaxApprovals bounds how many people a step may ask.
const MaxApprovals = 10

// ByPolicy begins the name of a grant where, instead of people, the policy said yes.
const ByPolicy = "policy:"

// Approval is what an approve step asks for. It is given before the run begins,
// whatever stands before the step: no run waits in its middle for a person.
type Approval struct {
	Count  int           // different people
	Within time.Duration // after that a person is called; 0 leaves it to the policy
	Role   string        // the least role that each of them has; "" leaves it to the plan's effect
	Say    string        // what they are to look at; with ${...}
}

// SamePerson reports whether two names are of one person: nobody becomes two by
// another spelling. Whoever holds two tokens of different names does.
func SamePerson(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}

// ApprovingRoles are the roles that an approve step may ask for, the least first.
// They are those of the API (controller/access), which knows who has them.
func ApprovingRoles() []string { return []string{"operator", "engineer", "admin"} }

// approve reads the part of an approve step.
func (p *parser) approve(part *yamlx.Node) Approval {
	var raw struct {
		Count  *int           `yaml:"count,required"`
		Within *time.Duration `yaml:"within"`
		Role   *yamlx.Node    `yaml:"role"`
		Say    *yamlx.Node    `yaml:"say"`
	}
	if !p.decode(part, &raw, words{}) {
		return Approval{}
	}
	a := Approval{Count: *raw.Count}
	if a.Count < 1 || a.Count > MaxApprovals {
		p.fail(at(part, "count"), RuleBounded, "count is %d; it must be 1 to %d", a.Count, MaxApprovals)
	}
	if raw.Within != nil {
		a.Within = *raw.Within
		if a.Within <= 0 || a.Within > MaxDeadline {
			p.fail(at(part, "within"), RuleBounded, "within is %s; it must be more than 0 and at most %s", a.Within, MaxDeadline)
		}
	}
	if raw.Role != nil {
		if a.Role, _ = raw.Role.Scalar(); !slices.Contains(ApprovingRoles(), a.Role) {
			p.unknown(raw.Role, RuleForm, "role", a.Role, ApprovingRoles())
		}
	}
	if raw.Say != nil {
		a.Say, _ = p.template(raw.Say)
	}
	if p.phase != PhaseMain {
		p.fail(part, RuleForm, "approve stands among the steps: what follows a run waits for nobody")
	}
	return a
}

// Ask adds what a step asks for to what the plan asks for: the most people, the
// highest role and the shortest time.
func (p *Plan) Ask(a Approval) {
	p.Approvals = max(p.Approvals, a.Count)
	if slices.Index(ApprovingRoles(), a.Role) > slices.Index(ApprovingRoles(), p.ApproveRole) {
		p.ApproveRole = a.Role
	}
	if a.Within > 0 && (p.ApproveWithin == 0 || a.Within < p.ApproveWithin) {
		p.ApproveWithin = a.Within
	}
}

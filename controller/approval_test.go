package controller

import (
	"slices"
	"testing"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/internal/fault"
)

// TestTwoPeopleAreTwoPeople: who says yes a second time is told so, and nothing
// is written down that could count.
func TestTwoPeopleAreTwoPeople(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1:9100")))
	d.report(looked(d.next(job.Diagnose), "relay"))
	report := planned(d.next(job.Plan))
	report.Plan.Approvals = 2
	d.report(report)
	run := d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval).CurrentRun()
	approve := func(by string) error {
		err := d.app.people.Approve(t.Context(), run.ID, run.Plan.Digest, by, "")
		d.settle()
		return err
	}
	d.must(approve("ada"))
	d.wantKind(approve("ada"), fault.Conflict)
	d.idle()
	in := d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval)
	if n := len(in.CurrentRun().Decisions); n != 1 {
		t.Errorf("%d decisions are written down", n)
	}
	d.must(approve("bob"))
	if j := d.next(job.Run); !slices.Equal(j.Run.People(), []string{"ada", "bob"}) {
		t.Errorf("the agent is told that %q approved it", j.Run.People())
	}
}

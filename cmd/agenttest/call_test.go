package agenttest

import (
	"testing"
	"testing/synctest"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// TestARunbookThatCallsAnotherComesWithIt: what is called travels with the job,
// and only as it was pinned.
func TestARunbookThatCallsAnotherComesWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		called := h.document("called.yaml", runbook("0s"))
		caller := h.document("caller.yaml", `
apiVersion: secondline/v1
kind: Runbook
metadata: {name: caller, title: Calls another}
spec:
  limits: {deadline: 2h}
  steps:
    - {id: both, runbook: {name: two-steps, digest: `+called.Digest+`}}
`)
		spec := job.PlanSpec{Runbook: caller, Called: []job.Document{called}}
		planned := h.k.do(job.Job{ID: "plan", Kind: job.Plan, Target: target(), Plan: &spec})
		if planned.Status != job.Done || planned.Plan == nil {
			t.Fatalf("no plan: %+v", planned.Error)
		}
		run := func(id string, spec job.PlanSpec) job.Report {
			return h.k.do(job.Job{ID: id, Kind: job.Run, Target: target(), Run: &job.RunSpec{
				PlanSpec: spec, PlanDigest: planned.Plan.Digest, ApprovedBy: []string{"ada"},
			}})
		}
		other := h.document("called.yaml", runbook("1s"))
		for name, documents := range map[string][]job.Document{
			"nothing": {}, "another": {other}, "tampered": {{Name: called.Name, Digest: called.Digest, Body: other.Body}},
		} {
			if r := run(name, job.PlanSpec{Runbook: caller, Called: documents}); r.Status != job.Failed || r.Error == nil || r.Run != nil ||
				r.Error.Kind != fault.Invalid && r.Error.Kind != fault.Denied || h.lines("one") != 0 {
				t.Errorf("%s came with it: %s, %+v", name, r.Status, r.Error)
			}
		}
		h.expect(run("right", spec), runbooks.RunVerified, 1, 1)
	})
}

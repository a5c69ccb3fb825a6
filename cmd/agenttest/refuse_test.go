package agenttest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/agent"
	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

func TestWhatTheAgentRefusesChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits guard.Limits
		edit   func(h *house, j *job.Job)
		status job.Status
		kind   fault.Kind
	}{
		"an agent that observes": {limits: guard.Limits{}, status: job.Refused, kind: fault.Denied},
		"a target that is not its own": {
			edit: func(_ *house, j *job.Job) { j.Target.Entity.ID = "web2" }, status: job.Refused, kind: fault.Denied,
		},
		"a target of another agent": {
			edit: func(_ *house, j *job.Job) { j.Target.Entity.Agent = "site-a" }, status: job.Refused, kind: fault.Denied,
		},
		"a target outside its limits": {
			limits: guard.Limits{Mode: guard.Act, Targets: []string{"db1"}}, status: job.Refused, kind: fault.Denied,
		},
		"nobody approved":  {edit: func(_ *house, j *job.Job) { j.Run.ApprovedBy = nil }, status: job.Refused, kind: fault.Denied},
		"no plan approved": {edit: func(_ *house, j *job.Job) { j.Run.PlanDigest = "" }, status: job.Refused, kind: fault.Denied},
		"another runbook than the digest says": {edit: func(h *house, j *job.Job) {
			j.Run.Runbook.Body = append(j.Run.Runbook.Body, " # changed"...)
		}, status: job.Failed, kind: fault.Denied},
		"no digest at all": {edit: func(_ *house, j *job.Job) { j.Run.Runbook.Digest = "" }, status: job.Failed, kind: fault.Denied},
		"no runbook": {edit: func(h *house, j *job.Job) {
			j.Run.Runbook = h.document("rb.yaml", "spec: [")
		}, status: job.Failed, kind: fault.Invalid},
		"a run without its spec":  {edit: func(_ *house, j *job.Job) { j.Run = nil }, status: job.Refused, kind: fault.Denied},
		"a kind it does not know": {edit: func(_ *house, j *job.Job) { j.Kind = "dance" }, status: job.Failed, kind: fault.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, newDesk(t))
				h.start()
				j := h.runJob("r", runbook("0s"))
				h.stop()
				h.edit = func(o *agent.Options) {
					if c.limits.Mode != "" || c.edit == nil && c.limits.Targets == nil {
						o.Limits = c.limits
					}
				}
				if c.edit != nil {
					c.edit(h, &j)
				}
				h.start()
				defer h.stop()
				r := h.k.do(j)
				if r.Status != c.status || r.Error == nil || r.Error.Kind != c.kind {
					t.Errorf("got %s, %+v", r.Status, r.Error)
				}
				if r.Run != nil || h.lines("one")+h.lines("two") != 0 {
					t.Error("something was done")
				}
			})
		})
	}
}

func TestAChangedPlanIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		j := h.runJob("r", runbook("0s"))
		j.Run.PlanDigest = "sha256:another"
		h.expect(h.k.do(j), runbooks.RunRefused, 0, 0)
	})
}

func TestARefusedCommandEndsTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		j := h.runJob("r", runbook("0s"))
		h.stop()
		h.edit = func(o *agent.Options) { o.Limits.Refuse = []string{"sh -c"} }
		h.start()
		defer h.stop()
		r := h.k.do(j)
		if r.Run == nil || r.Run.Status == runbooks.RunVerified || h.lines("one") != 0 {
			t.Errorf("got %+v, acted %d times", r.Run, h.lines("one"))
		}
	})
}

func TestAnOverdueRunIsNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		j := h.runJob("r", runbook("0s"))
		late := j
		late.ID, late.Deadline = "late", time.Now().Add(-time.Minute)
		h.k.enqueue("web1", late, time.Time{}) // a row without deadline, so that the dispatcher sends it
		r := h.k.await("late")
		if r.Status != job.Failed || r.Error.Kind != fault.Timeout || h.lines("one") != 0 {
			t.Errorf("got %s, %+v", r.Status, r.Error)
		}
		h.expect(h.k.do(j), runbooks.RunVerified, 1, 1)
	})
}

func TestAPanicInAProbeIsAFailedReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		r := h.k.do(job.Job{ID: "d", Kind: job.Diagnose, Target: target(), Diagnose: &job.DiagnoseSpec{Causes: []job.Document{h.document("c.yaml", many("crash"))}}})
		told := map[string]diagnostics.Fact{}
		for _, f := range r.Facts {
			told[f.Probe] = f
		}
		if r.Status != job.Done || len(told) != 2 || told["crash"].Status != diagnostics.Failed || told["crash"].Error == "" || told["file.lines"].Status != diagnostics.OK {
			t.Errorf("got %s, %+v", r.Status, r.Facts)
		}
	})
}

func TestAPanicOnTheWayIsAFailedReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.edit = func(o *agent.Options) { o.Reach = panics{} }
		h.start()
		defer h.stop()
		r := h.k.do(h.planJob("p", runbook("0s")))
		if r.Status != job.Failed || r.Error.Kind != fault.Internal {
			t.Errorf("got %s, %+v", r.Status, r.Error)
		}
		r = h.k.do(h.planJob("p2", runbook("0s"))) // and the agent lives
		if r.Status != job.Failed {
			t.Errorf("got %s", r.Status)
		}
	})
}

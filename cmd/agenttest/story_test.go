package agenttest

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

const manyLines = `
id: many-lines
title: A file has lines
entity: host
prior: 0.1
symptoms: {alerts: [ManyLines], holds: f.n > 0, say: "${f.n} lines", hold: 1m}
needs:
  f: {probe: file.lines, with: {path: DIR/f}}
  bad: {probe: PROBE, with: {path: DIR/g}}
evidence:
  - {id: lines, that: f.n > 0, seen_if_cause: 0.9, seen_otherwise: 0.1, group: a, role: required, say: lines}
  - {id: more, that: bad.n > 0, seen_if_cause: 0.9, seen_otherwise: 0.1, group: b, role: proof, say: lines}
`

const noLines = `
name: no-lines
title: The file has no lines
schedule: "@hourly"
targets: {entity: web1}
probes: {f: {probe: file.lines, with: {path: DIR/f}}}
expect: f.n == 0
because: "${f.n} lines"
severity: warning
`

func TestJobsOfEveryKindEndToEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t)
		h := newHouse(t, k)
		h.start()
		defer h.stop()
		h.write("f", "x\n")

		r := k.do(job.Job{ID: "d", Kind: job.Diagnose, Target: target(), Diagnose: &job.DiagnoseSpec{Causes: []job.Document{h.document("c.yaml", many("file.lines"))}}})
		if r.Status != job.Done || len(r.Facts) != 2 || r.Facts[0].Value["n"] != float64(1) || r.Agent != "web1" {
			t.Errorf("diagnose: %+v %+v", r, r.Error)
		}
		r = k.do(job.Job{ID: "c", Kind: job.Check, Target: target(), Check: &job.CheckSpec{Name: "no-lines", Source: h.document("no.yaml", noLines)}})
		if r.Status != job.Done || r.Measurement.Truth != expr.False || r.Measurement.Text == "" || len(r.Facts) != 1 {
			t.Errorf("check: %+v %+v", r.Measurement, r.Error)
		}
		measure := job.Job{ID: "m1", Kind: job.Measure, Target: target(), Measure: &job.MeasureSpec{Cause: h.document("c.yaml", many("file.lines")), Hold: 60e9}}
		if r = k.do(measure); r.Status != job.Done || r.Measurement.Truth != expr.False {
			t.Errorf("measure: %+v %+v", r.Measurement, r.Error)
		}
		h.write("f", "")
		measure.ID = "m2"
		r = k.do(measure)
		if r.Status != job.Done || r.Measurement.Truth != expr.True || r.Ended.Sub(r.Measurement.HeldAt) < 60e9 {
			t.Errorf("measure: %+v %+v", r.Measurement, r.Error)
		}
		h.expect(k.do(h.runJob("r", runbook("1m"))), runbooks.RunVerified, 1, 1)
		synctest.Wait()
		if open := h.journal.OpenJobs(); len(open) != 0 {
			t.Errorf("not noted as accepted: %v", open)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		checkProgress(t, k.events)
	})
}

// checkProgress checks that probes were shown to wait, and that the run's step
// was shown with its output and then no more.
func checkProgress(t *testing.T, events []job.Event) {
	t.Helper()
	waited, ran := false, false
	var last job.Activity
	for _, e := range events {
		if e.Doing == nil {
			t.Fatalf("an event does not tell what is done: %+v", e)
		}
		last = *e.Doing
		waited = waited || len(last.Probes) > 0
		ran = ran || last.Status == runbooks.StepRunning && last.Step != "" && last.Timeout > 0 && !last.Since.IsZero()
	}
	if !waited || !ran {
		t.Errorf("probes were shown to wait: %t, a step to run: %t", waited, ran)
	}
	if last.Step != "" || len(last.Probes) > 0 {
		t.Errorf("at the end is shown: %+v", last)
	}
}

func many(probe string) string { return strings.ReplaceAll(manyLines, "PROBE", probe) }

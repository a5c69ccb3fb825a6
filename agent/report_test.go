package agent

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/runbooks"
)

func bounder(t *testing.T) *Agent {
	return &Agent{Options: Options{Now: time.Now, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}}
}

func sizeOf(t *testing.T, r job.Report) int {
	t.Helper()
	doc, err := json.Marshal(r)
	if err != nil {
		t.Fatalf("the report cannot be sent: %v", err)
	}
	return len(doc)
}

func TestReportsAlwaysFitOnTheWire(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte{1}, 5<<20)
	fact := func() diagnostics.Fact {
		return diagnostics.Fact{ID: "a#1", Status: diagnostics.OK, Value: diagnostics.Value{"n": 1}, Raws: []diagnostics.Raw{{Name: "a", Data: bytes.Clone(big), Status: diagnostics.OK}}}
	}
	run := func(out, kept int) *runbooks.RunResult {
		steps := make([]runbooks.StepResult, 10)
		for i := range steps {
			steps[i].Transcript = []runbooks.Exchange{{Stdout: strings.Repeat("\x01", out)}} // six bytes each in JSON
			steps[i].Preserved = map[string][]byte{"journal": make([]byte, kept)}
		}
		return &runbooks.RunResult{Status: runbooks.RunVerified, Steps: steps}
	}
	for name, c := range map[string]struct {
		report job.Report
		check  func(r job.Report) bool
	}{
		"a small one stays": {job.Report{Status: job.Done, Run: run(10, 10)}, func(r job.Report) bool {
			return len(r.Run.Steps[0].Transcript[0].Stdout) == 10 && len(r.Run.Steps[0].Preserved["journal"]) == 10
		}},
		"the raws of later facts are cut": {job.Report{Status: job.Done, Facts: []diagnostics.Fact{fact(), fact(), fact()}}, func(r job.Report) bool {
			f := r.Facts
			return len(f[0].Raws[0].Data) == 5<<20 && f[1].Raws[0].Truncated && f[2].Raws[0].Status == diagnostics.Truncated && f[2].Value["n"] == 1 && f[2].Raws[0].SHA256 != ""
		}},
		"transcripts go before evidence": {job.Report{Status: job.Done, Run: run(300<<10, 1<<10)}, func(r job.Report) bool {
			return r.Run.Steps[9].Transcript[0].Stdout == leftOut && len(r.Run.Steps[9].Preserved["journal"]) == 1<<10 && r.Status == job.Done
		}},
		"evidence goes before the result": {job.Report{Status: job.Done, Run: run(10, 2<<20)}, func(r job.Report) bool {
			return r.Run.Status == runbooks.RunVerified && string(r.Run.Steps[9].Preserved["journal"]) == leftOut
		}},
		"a run that never fits is unknown": {job.Report{Status: job.Done, Kind: job.Run, Run: &runbooks.RunResult{Why: strings.Repeat("x", 16<<20)}}, func(r job.Report) bool {
			return r.Status == job.Unknown && r.Error != nil
		}},
		"a reading that never fits failed": {job.Report{Status: job.Done, Facts: []diagnostics.Fact{{Error: strings.Repeat("x", 16<<20)}}}, func(r job.Report) bool {
			return r.Status == job.Failed && r.Error != nil
		}},
		"a value that JSON cannot say": {job.Report{Status: job.Done, Facts: []diagnostics.Fact{fact(), {Status: diagnostics.OK, Value: diagnostics.Value{"x": math.NaN()}}}}, func(r job.Report) bool {
			return r.Status == job.Done && r.Facts[0].Status == diagnostics.OK && r.Facts[1].Status == diagnostics.Failed && r.Facts[1].Value == nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := c.report
			bounder(t).bound(&r)
			if n := sizeOf(t, r); n > job.MaxReportBytes {
				t.Errorf("%d bytes", n)
			}
			if !c.check(r) {
				t.Errorf("%s, %+v", r.Status, r.Error)
			}
		})
	}
}

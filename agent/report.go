package agent

import (
	"encoding/json"
	"log/slog"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// Bounds of a report: of the raw bytes in it, and of the whole as it travels.
// A report that the stream cannot carry would end every stream it is sent on.
const (
	maxReportRaw = 8 << 20
	leftOut      = "[left out: the report was too large; the agent's journal has it]"
)

// bound makes a report one that can be sent. What is cut says so.
func (a *Agent) bound(r *job.Report) {
	cutRaws(r.Facts)
	keepEncodable(r.Facts)
	for _, cut := range []func(*job.Report){dropRaws, dropTranscripts, dropEvidence} {
		if fits(r) {
			return
		}
		a.Logger.Warn("report was too large and was cut", slog.String("job", r.JobID))
		cut(r)
	}
	if !fits(r) {
		*r = a.failed(job.Job{ID: r.JobID, Fence: r.Fence, Kind: r.Kind}, withoutContent(*r), fault.New(fault.TooLarge, "the report cannot be sent"))
	}
}

func fits(r *job.Report) bool {
	doc, err := json.Marshal(r)
	return err == nil && len(doc) <= job.MaxReportBytes
}

// withoutContent is the status of a report whose content is lost.
func withoutContent(r job.Report) job.Status {
	if r.Run != nil {
		return job.Unknown
	}
	return job.Failed
}

// cutRaws cuts raw outputs once there are many: later facts lose their raw
// bytes first. Their values stay.
func cutRaws(facts []diagnostics.Fact) {
	room := maxReportRaw
	for i := range facts {
		for k := range facts[i].Raws {
			raw := &facts[i].Raws[k]
			if len(raw.Data) > room {
				raw.Data, raw.Truncated, raw.Status = raw.Data[:room], true, diagnostics.Truncated
				raw.Seal()
			}
			room -= len(raw.Data)
		}
	}
}

// keepEncodable takes away values that JSON cannot say, such as a division by
// zero in a probe.
func keepEncodable(facts []diagnostics.Fact) {
	for i := range facts {
		if _, err := json.Marshal(facts[i].Value); err != nil {
			facts[i].Value, facts[i].Status, facts[i].Error = nil, diagnostics.Failed, "its value cannot be encoded: "+err.Error()
		}
	}
}

func dropRaws(r *job.Report) {
	for i := range r.Facts {
		for k := range r.Facts[i].Raws {
			raw := &r.Facts[i].Raws[k]
			raw.Data, raw.Truncated, raw.Status = nil, true, diagnostics.Truncated
			raw.Seal()
		}
	}
}

func dropTranscripts(r *job.Report) {
	eachStep(r, func(s *runbooks.StepResult) {
		for k := range s.Transcript {
			s.Transcript[k].Stdout, s.Transcript[k].Stderr = leftOut, ""
		}
	})
}

func dropEvidence(r *job.Report) {
	eachStep(r, func(s *runbooks.StepResult) {
		for name := range s.Preserved {
			s.Preserved[name] = []byte(leftOut)
		}
	})
}

func eachStep(r *job.Report, do func(*runbooks.StepResult)) {
	if r.Run == nil {
		return
	}
	for i := range r.Run.Steps {
		do(&r.Run.Steps[i])
	}
}

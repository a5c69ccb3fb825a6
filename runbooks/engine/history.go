package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// history is what the journal says of one step's last attempt.
type history struct {
	attempt int
	touched bool // by an attempt before
	order   int  // of the first attempt among those of all steps, from 1
	started time.Time
	intent  *intentRecord
	outcome *outcomeRecord
	verdict *verdictRecord
	undoing bool
	undo    *undoRecord
	decided *decidedRecord
}

// remembered is what a journal says of a run.
type remembered struct {
	plan  *planRecord // nil when the run has not begun
	steps map[string]*history
	begun int // steps that have begun to act

	leaving *leavingRecord
	left    *leftRecord
}

// recall reads a job's records: the plan that was begun, and what became of its
// steps so far.
func recall(records []Record) (remembered, error) {
	known := remembered{steps: map[string]*history{}}
	for _, r := range records {
		if err := known.note(r); err != nil {
			return remembered{}, fmt.Errorf("read the %s of step %q in the journal: %w", r.Kind, r.Step, err)
		}
	}
	if known.plan == nil && len(known.steps) > 0 {
		return remembered{}, fault.New(fault.Internal, "the journal has steps of a job, but no plan")
	}
	return known, nil
}

func (m *remembered) note(r Record) error {
	switch r.Kind {
	case RecordPlan:
		if m.plan != nil {
			return fault.New(fault.Internal, "the journal has two plans for one job")
		}
		m.plan = &planRecord{}
		return json.Unmarshal(r.Data, m.plan)
	case RecordLeaving:
		m.leaving = &leavingRecord{}
		return json.Unmarshal(r.Data, m.leaving)
	case RecordLeft:
		m.left = &leftRecord{}
		return json.Unmarshal(r.Data, m.left)
	case RecordIntent, RecordOutcome, RecordVerified, RecordUndoIntent, RecordUndoOutcome, RecordDecided:
	}
	h := m.steps[r.Step]
	if h == nil {
		h = &history{}
		m.steps[r.Step] = h
	}
	if r.Kind == RecordIntent && h.order == 0 {
		m.begun++
		h.order = m.begun
	}
	return h.note(r)
}

func (h *history) note(r Record) error {
	switch r.Kind {
	case RecordIntent:
		evidence := h.intent
		touched := h.touched || h.outcome != nil && h.outcome.Touched
		*h = history{attempt: r.Attempt, touched: touched, order: h.order, started: h.started, intent: &intentRecord{}}
		if err := json.Unmarshal(r.Data, h.intent); err != nil {
			return err
		}
		if h.started.IsZero() {
			h.started = h.intent.StartedAt
		}
		if h.intent.Preserved == nil && evidence != nil {
			h.intent.Preserved = evidence.Preserved // saved before the first attempt
		}
		return nil
	case RecordOutcome:
		h.outcome = &outcomeRecord{}
		decoder := json.NewDecoder(bytes.NewReader(r.Data))
		decoder.UseNumber() // outputs may be integers that no float64 is
		return decoder.Decode(h.outcome)
	case RecordVerified:
		h.verdict = &verdictRecord{}
		return json.Unmarshal(r.Data, h.verdict)
	case RecordUndoIntent:
		h.undoing = true
		return nil
	case RecordUndoOutcome:
		h.undo = &undoRecord{}
		return json.Unmarshal(r.Data, h.undo)
	case RecordDecided:
		h.decided = &decidedRecord{}
		return json.Unmarshal(r.Data, h.decided)
	case RecordPlan, RecordLeaving, RecordLeft:
		return nil
	}
	return fault.New(fault.Internal, "no such record: %q", r.Kind)
}

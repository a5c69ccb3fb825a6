package engine

import (
	"encoding/json"
	"fmt"

	"github.com/secondline-ops/secondline/internal/fault"
)

// history is what the journal says of one step's last attempt.
type history struct {
	attempt int
	touched bool // by an attempt before
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
	left  *leftRecord
}

// recall reads a job's records: the plan that was begun, and what became of its
// steps so far.
func recall(records []Record) (remembered, error) {
	var begun *planRecord
	var left *leftRecord
	steps := map[string]*history{}
	for _, r := range records {
		if r.Kind == RecordPlan {
			if begun != nil {
				return remembered{}, fault.New(fault.Internal, "the journal has two plans for one job")
			}
			begun = &planRecord{}
			if err := json.Unmarshal(r.Data, begun); err != nil {
				return remembered{}, fmt.Errorf("read the plan in the journal: %w", err)
			}
			continue
		}
		if r.Kind == RecordLeft {
			left = &leftRecord{}
			if err := json.Unmarshal(r.Data, left); err != nil {
				return remembered{}, fmt.Errorf("read in the journal how the run ended: %w", err)
			}
			continue
		}
		h := steps[r.Step]
		if h == nil {
			h = &history{}
			steps[r.Step] = h
		}
		if err := h.note(r); err != nil {
			return remembered{}, fmt.Errorf("read the %s of step %s in the journal: %w", r.Kind, r.Step, err)
		}
	}
	if begun == nil && len(steps) > 0 {
		return remembered{}, fault.New(fault.Internal, "the journal has steps of a job, but no plan")
	}
	return remembered{begun, steps, left}, nil
}

func (h *history) note(r Record) error {
	switch r.Kind {
	case RecordIntent:
		evidence := h.intent
		touched := h.touched || h.outcome != nil && h.outcome.Touched
		*h = history{attempt: r.Attempt, touched: touched, intent: &intentRecord{}}
		if err := json.Unmarshal(r.Data, h.intent); err != nil {
			return err
		}
		if h.intent.Preserved == nil && evidence != nil {
			h.intent.Preserved = evidence.Preserved // saved before the first attempt
		}
		return nil
	case RecordOutcome:
		h.outcome = &outcomeRecord{}
		return json.Unmarshal(r.Data, h.outcome)
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
	case RecordPlan, RecordLeft:
		return nil
	}
	return fault.New(fault.Internal, "no such record: %q", r.Kind)
}

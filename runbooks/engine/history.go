package engine

import (
	"encoding/json"
	"fmt"

	"github.com/secondline-ops/secondline/internal/fault"
)

// history is what the journal says of one step's last attempt.
type history struct {
	attempt int
	intent  *intentRecord
	outcome *outcomeRecord
	verdict *verdictRecord
	undoing bool
	undo    *undoRecord
}

// recall reads a job's records: the plan that was begun, or nil, and what
// became of its steps so far.
func recall(records []Record) (*planRecord, map[string]*history, error) {
	var begun *planRecord
	steps := map[string]*history{}
	for _, r := range records {
		if r.Kind == RecordPlan {
			if begun != nil {
				return nil, nil, fault.New(fault.Internal, "the journal has two plans for one job")
			}
			begun = &planRecord{}
			if err := json.Unmarshal(r.Data, begun); err != nil {
				return nil, nil, fmt.Errorf("read the plan in the journal: %w", err)
			}
			continue
		}
		h := steps[r.Step]
		if h == nil {
			h = &history{}
			steps[r.Step] = h
		}
		if err := h.note(r); err != nil {
			return nil, nil, fmt.Errorf("read the %s of step %s in the journal: %w", r.Kind, r.Step, err)
		}
	}
	if begun == nil && len(steps) > 0 {
		return nil, nil, fault.New(fault.Internal, "the journal has steps of a job, but no plan")
	}
	return begun, steps, nil
}

func (h *history) note(r Record) error {
	switch r.Kind {
	case RecordIntent:
		evidence := h.intent
		*h = history{attempt: r.Attempt, intent: &intentRecord{}}
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
	case RecordPlan:
		return nil
	}
	return fault.New(fault.Internal, "no such record: %q", r.Kind)
}

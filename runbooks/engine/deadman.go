package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

var errCutOff = errors.New("the step has cut off its own host")

// MayBeCutOff reports whether the records leave a step of the plan open that may
// have cut off its own host: begun, and neither verified nor taken back.
func MayBeCutOff(plan *runbooks.Plan, records []Record) bool {
	open := map[string]bool{}
	for _, r := range records {
		var v verdictRecord
		switch r.Kind {
		case RecordIntent:
			open[r.Step] = true
		case RecordVerified:
			if err := json.Unmarshal(r.Data, &v); err == nil && v.Verified {
				delete(open, r.Step)
			}
		case RecordUndoOutcome:
			delete(open, r.Step)
		case RecordPlan, RecordOutcome, RecordUndoIntent, RecordDecided, RecordLeaving, RecordLeft:
		}
	}
	return plan != nil && slices.ContainsFunc(plan.Steps, func(s runbooks.PlannedStep) bool { return s.Deadman > 0 && open[s.ID] })
}

// unlessCutOff measures a step that may have cut off its own host. Its time
// begins with the attempt. While it runs, the agent has to hear from the controller
// once after the act: else the step is refuted, however well it looks from
// inside, and taken back. Losing the lease, which is what being cut off looks
// like, does not suspend this: nobody else could take the step back.
func (s *stepRun) unlessCutOff(ctx context.Context, w *watch) verdict {
	watched, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	ask := w.Ask
	w.Ask = func(ctx context.Context) Reading {
		if s.cutOff() {
			end(errCutOff)
			return Reading{Truth: expr.False, Text: errCutOff.Error()}
		}
		return ask(ctx)
	}
	v := w.run(watched)
	for v.verified && !s.heard() && !s.cutOff() {
		s.run.d.sleep(watched, time.Second)
	}
	if !s.cutOff() {
		return v
	}
	return verdict{measured: v.measured, why: fmt.Sprintf("the controller was not heard from within %s of its beginning: it may have cut off its own host", s.step.Deadman)}
}

// heard reports whether the controller was heard from after the act.
func (s *stepRun) heard() bool {
	return s.run.d.Heard != nil && s.run.d.Heard().After(s.result.EndedAt)
}

func (s *stepRun) cutOff() bool {
	return !s.heard() && s.run.d.Now().After(s.past.intent.StartedAt.Add(s.step.Deadman))
}

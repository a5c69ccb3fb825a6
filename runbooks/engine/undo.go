package engine

import (
	"context"
	"fmt"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// undo takes the step back, once. A step that says it cannot be taken back
// stays as it is. An error is one of the journal's.
func (s *stepRun) undo(ctx context.Context) error {
	switch {
	case s.past.undo != nil:
		return nil // restore has put the result in place
	case s.past.undoing:
		s.enter(runbooks.StepUnknown, "whether it was taken back is not known")
		s.result.Error = "the agent was interrupted while it was taking the step back"
		return nil
	}
	takeBack, why := s.undoer()
	if takeBack == nil {
		s.noUndo(why)
		return nil
	}
	if err := s.run.append(ctx, s.step.ID, s.past.attempt, RecordUndoIntent, struct{}{}); err != nil {
		return err
	}
	s.enter(runbooks.StepUndoing, "")
	t := newTranscript(s.run.runner, s.tell, s.run.room)
	err := takeBack(ctx, s.env(t))
	exchanges, _, _ := t.state()
	s.result.Transcript = append(s.result.Transcript, exchanges...)
	record := undoRecord{Undone: err == nil}
	if err != nil {
		record.Error = err.Error()
	}
	if err := s.run.append(ctx, s.step.ID, s.past.attempt, RecordUndoOutcome, record); err != nil {
		return err
	}
	s.takeUndo(record)
	return nil
}

// undoer returns what takes the step back, or nil and why nothing does.
func (s *stepRun) undoer() (func(ctx context.Context, env *Env) error, string) {
	if len(s.step.Undo.Run) > 0 {
		return s.runUndo, ""
	}
	if u, ok := s.action.(Undoer); ok && s.step.Undo.Own {
		if why := u.CanUndo(s.change); why != "" {
			return nil, why
		}
		return func(ctx context.Context, env *Env) error { return u.Undo(ctx, env, s.change) }, ""
	}
	return nil, "the runbook says that it cannot be undone"
}

func (s *stepRun) runUndo(ctx context.Context, env *Env) error {
	argv, err := s.scope.renderList(ctx, s.step.Undo.Run)
	if err != nil {
		return err
	}
	res, err := env.Runner.Run(ctx, remote.Command{Argv: argv, As: s.step.As, Effect: remote.Write, Timeout: s.step.Timeout})
	if err != nil {
		return err
	}
	return res.Err()
}

func (s *stepRun) noUndo(why string) {
	s.run.d.event(Event{Kind: "undo", Step: s.step.ID, Text: "not undone: " + why})
	note := fmt.Sprintf("not undone: %s", why)
	if s.result.Error != "" {
		note = s.result.Error + "; " + note
	}
	s.result.Error = note
}

func (s *stepRun) takeUndo(r undoRecord) {
	s.result.Undone = r.Undone
	if r.Undone {
		s.enter(runbooks.StepUndone, "")
		return
	}
	s.result.Error = "undo: " + r.Error
	s.enter(runbooks.StepStuck, r.Error)
}

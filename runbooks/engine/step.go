package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// stepRun is one step on its way through its life.
type stepRun struct {
	run    *run
	step   runbooks.Step
	action Action
	change Change
	scope  *scope

	skip        string
	narrow      string // in what it is narrower than approved
	past        history
	result      runbooks.StepResult
	reservation string // it is verified, but not as the runbook wants it
	acted       bool   // something may have been changed
	earlier     bool   // by a try before this one
	order       int    // among the steps that have begun to act
}

func newStepRun(x *run, step runbooks.Step, action Action, c stepChange, at place) *stepRun {
	return &stepRun{run: x, step: step, action: action, scope: at.scope, change: c.Change, skip: c.Skipped, narrow: c.Narrowed, result: runbooks.StepResult{
		ID: step.ID, Each: at.each, Phase: step.Phase, Action: step.Action, Effect: stronger(step.Effect, c.Change.Effect), Status: runbooks.StepPlanned,
		Measured: []string{}, Transcript: []runbooks.Exchange{},
	}}
}

// stuck reports whether the step could not be taken back.
func (s *stepRun) stuck() bool { return s.result.Status == runbooks.StepStuck }

// changedSomething reports whether there may be something to take back.
func (s *stepRun) changedSomething() bool { return s.acted && s.step.Effect != runbooks.Read }

// restore puts the step where the journal has left it.
func (s *stepRun) restore(past *history) {
	if past == nil {
		return
	}
	s.past, s.earlier, s.order = *past, past.touched, past.order
	if in := past.intent; in != nil {
		s.enter(runbooks.StepIntent, "")
		s.acted = true
		s.result.StartedAt, s.result.Preserved, s.result.Attempts = past.started, in.Preserved, past.attempt
	}
	if out := past.outcome; out != nil {
		s.takeOutcome(*out)
	}
	if v := past.verdict; v != nil {
		s.takeVerdict(*v)
	}
	if past.undo != nil {
		s.takeUndo(*past.undo)
	}
	switch d := past.decided; {
	case d == nil:
	case d.Verdict != nil:
		s.takeVerdict(*d.Verdict)
		s.past.verdict = d.Verdict
	default:
		s.enter(runbooks.StepSkipped, d.Skipped)
	}
}

func (s *stepRun) each(do func(*stepRun)) { do(s) }

// carry implements node. A step that hands the run over ends it.
func (s *stepRun) carry(ctx context.Context) (ending, error) {
	end, err := s.advance(ctx)
	if err == nil && end == goOn && s.step.Action == runbooks.StepEscalate && s.result.Status == runbooks.StepVerified {
		return s.run.fail(handedOver, fmt.Sprintf("handed over by step %s: %s", s.step.ID, s.result.Changed)), nil
	}
	return end, err
}

// advance brings the step to its end, from wherever it is.
func (s *stepRun) advance(ctx context.Context) (ending, error) {
	switch {
	case s.past.undoing:
		return s.run.fail(refuted, fmt.Sprintf("step %s was refuted before the agent was interrupted", s.step.ID)), nil
	case s.past.verdict != nil && !s.past.verdict.Verified:
		return s.refuted(ctx, "before the agent was interrupted: "+s.past.verdict.Why, s.past.verdict.CannotTell)
	case s.past.verdict != nil:
		return goOn, nil
	case s.past.decided != nil:
		return goOn, nil
	case s.past.intent == nil:
		return s.fromTheStart(ctx)
	case s.past.outcome != nil && s.past.outcome.Known:
		return s.judge(ctx, *s.past.outcome)
	}
	return s.lookAfterCrash(ctx)
}

func (s *stepRun) fromTheStart(ctx context.Context) (ending, error) {
	if s.skip != "" {
		return s.skipped(ctx, s.skip)
	}
	if end := s.mayStart(ctx); end != goOn {
		return end, nil
	}
	if s.step.If != "" {
		switch got := s.scope.ask(ctx, s.step.If); got.Truth {
		case expr.True:
		case expr.False:
			return s.skipped(ctx, got.Text)
		case expr.CannotTell:
			return s.refuse("it cannot be told whether the step applies: %s", got.Text), nil
		}
	}
	if s.change.Noop {
		s.result.StartedAt = s.run.d.Now()
		return s.measure(ctx, Outcome{})
	}
	evidence, err := s.preserve(ctx)
	s.result.Preserved = evidence
	if err != nil {
		return s.refuse("evidence that it destroys could not be saved: %v", err), nil
	}
	if end := s.mayStart(ctx); end != goOn { // saving evidence took its time
		return end, nil
	}
	return s.act(ctx, 1)
}

// skipped writes down that the step's turn is over, so that nobody asks again
// whether it applies when what follows has changed the answer.
func (s *stepRun) skipped(ctx context.Context, why string) (ending, error) {
	s.enter(runbooks.StepSkipped, why)
	return goOn, s.run.append(ctx, s.step.ID, 0, RecordDecided, decidedRecord{Skipped: why})
}

// mayStart reports whether the run lets the step act now. What follows a run in
// any case has no deadline but its own time-outs.
func (s *stepRun) mayStart(ctx context.Context) ending {
	deadline := s.run.plan.StartedAt.Add(s.run.b.Runbook.Deadline)
	if may := s.run.d.MayBegin; may != nil {
		if err := may(); err != nil {
			return s.run.fail(stopped, fmt.Sprintf("stopped before step %s: %v", s.step.ID, err))
		}
	}
	switch {
	case ctx.Err() != nil:
		return s.run.fail(stopped, fmt.Sprintf("stopped before step %s: %v", s.step.ID, context.Cause(ctx)))
	case s.step.Phase == runbooks.PhaseMain && s.run.d.Now().After(deadline):
		return s.run.fail(late, fmt.Sprintf("the deadline of %s passed before step %s", s.run.b.Runbook.Deadline, s.step.ID))
	}
	return goOn
}

func (s *stepRun) refuse(format string, args ...any) ending {
	s.result.Error = fmt.Sprintf(format, args...)
	return s.run.fail(refused, fmt.Sprintf("step %s did not run: %s", s.step.ID, s.result.Error))
}

func (s *stepRun) preserve(ctx context.Context) (map[string][]byte, error) {
	p := preserver{runner: readOnly{s.run.runner}, as: s.step.As}
	env := s.env(p.runner)
	if teller, ok := s.action.(SubjectTeller); ok {
		p.subjects = teller.Subjects(env, s.change)
	}
	if len(p.subjects.Files) == 0 {
		p.subjects.Files = s.paths(env)
	}
	return p.save(ctx, s.step.Preserve)
}

// paths are the values of the step's world that are paths: what its evidence is
// about when its action does not say.
func (s *stepRun) paths(env *Env) []string {
	out := []string{}
	elements, _ := env.Vars[runbooks.VarEach].(map[string]any)
	for _, e := range s.step.Each {
		if path, ok := elements[e.As].(string); ok && e.Type == runbooks.InputPath {
			out = append(out, path)
		}
	}
	for _, in := range s.scope.rb.Inputs {
		if path, ok := env.Inputs[in.Name].(string); ok && in.Type == runbooks.InputPath {
			out = append(out, path)
		}
	}
	return out
}

// act announces the attempt, applies the change and records what came of it.
// The change is not cut off when the run is stopped: the step's time-out bounds
// it, and with it the time at which the last of its commands can begin.
func (s *stepRun) act(ctx context.Context, attempt int) (ending, error) {
	started := s.run.d.Now()
	intent := intentRecord{StartedAt: started}
	if attempt == 1 {
		intent.Preserved = s.result.Preserved
	}
	if err := s.run.append(ctx, s.step.ID, attempt, RecordIntent, intent); err != nil {
		return "", err
	}
	s.past.attempt, s.past.intent, s.result.Attempts = attempt, &intent, attempt
	if attempt == 1 {
		s.result.StartedAt, s.order = started, int(s.run.begun.Add(1))
	}
	s.enter(runbooks.StepRunning, "")
	t := newTranscript(s.run.runner, s.tell, s.run.room)
	acting, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), s.step.Timeout,
		fmt.Errorf("the step took longer than %s: %w", s.step.Timeout, context.DeadlineExceeded))
	defer cancel()
	out, err := s.action.Apply(acting, s.env(t), s.change)
	exchanges, touched, open := t.state()
	record := outcomeRecord{
		EndedAt: s.run.d.Now(), Outcome: out, Known: err == nil || !open && !fault.Is(err, fault.OutcomeUnknown), Touched: touched, Transcript: exchanges,
	}
	if err != nil {
		record.Error = err.Error()
	}
	if len(s.step.Outputs) > 0 {
		record.Outputs = s.scope.result(acting, s.step, resultOf(out))
	}
	if err := s.outcome(ctx, record); err != nil {
		return "", err
	}
	if record.Known {
		return s.judge(ctx, record)
	}
	return s.lookAfterFailure(ctx)
}

func (s *stepRun) outcome(ctx context.Context, record outcomeRecord) error {
	s.acted = s.earlier || record.Touched // also when it cannot be written down
	if err := s.run.append(ctx, s.step.ID, s.past.attempt, RecordOutcome, record); err != nil {
		return err
	}
	s.takeOutcome(record)
	return nil
}

// lookAfterFailure asks whether a step happened whose command was cut off: by
// its time-out, or by a lost connection. Only yes is an answer: the command may
// still be at work.
func (s *stepRun) lookAfterFailure(ctx context.Context) (ending, error) {
	got := s.didItHappen(ctx)
	if got.Truth == expr.True {
		return s.itHappened(ctx, got)
	}
	return s.leaveUnknown("whether step %s happened is not known: %s", got), nil
}

// lookAfterCrash asks the same of a step that a crash has left between its
// intent and its outcome. When it did not happen, its runbook says whether it
// may be repeated. A step that only reads needs no question.
func (s *stepRun) lookAfterCrash(ctx context.Context) (ending, error) {
	reads := s.step.Effect == runbooks.Read
	got := Reading{Truth: expr.False, Text: "it only reads"}
	if !reads {
		got = s.lookUntilSettled(ctx)
	}
	switch got.Truth {
	case expr.True:
		return s.itHappened(ctx, got)
	case expr.False:
		if !s.step.Repeat.Always && s.step.Repeat.Ask == "" {
			return s.leaveUnknown("step %s seems not to have happened, and its runbook does not let it be repeated: %s", got), nil
		}
		s.acted = s.earlier
		if end := s.mayStart(ctx); end != goOn {
			return end, nil
		}
		return s.act(ctx, s.past.attempt+1)
	case expr.CannotTell:
	}
	return s.leaveUnknown("whether step %s happened is not known: %s", got), nil
}

// lookUntilSettled asks whether the step happened, and believes a "no" only when
// the step's command can no longer be at work: it outlives the agent that was
// killed over it, and "not yet" looks like "not at all" until its time is over.
// It may have begun as late as the step's time-out allows, and its target ends
// it that long after. A run that is told to stop meanwhile cannot tell.
func (s *stepRun) lookUntilSettled(ctx context.Context) Reading {
	outlives := s.run.d.CommandOutlives
	if outlives == 0 {
		outlives = remote.EndsWithin(s.step.Timeout)
	}
	settled := s.past.intent.StartedAt.Add(s.step.Timeout + outlives)
	for {
		got := s.didItHappen(ctx)
		wait := settled.Sub(s.run.d.Now())
		if got.Truth != expr.False || wait <= 0 || outlives < 0 {
			return got
		}
		if !s.run.d.sleep(ctx, min(wait, time.Second)) {
			return Unknown("not yet, and its command may still be at work: " + got.Text)
		}
	}
}

func (s *stepRun) itHappened(ctx context.Context, got Reading) (ending, error) {
	record := outcomeRecord{EndedAt: s.run.d.Now(), Known: true, Touched: true, Transcript: s.result.Transcript}
	record.Outcome.Changed = "it was seen to have happened: " + got.Text
	if err := s.outcome(ctx, record); err != nil {
		return "", err
	}
	return s.judge(ctx, record)
}

func (s *stepRun) leaveUnknown(format string, got Reading) ending {
	s.result.Measured = append(s.result.Measured, got.Text)
	s.enter(runbooks.StepUnknown, got.Text)
	return s.run.fail(unknown, fmt.Sprintf(format, s.step.ID, got.Text))
}

// didItHappen asks the runbook's own question, else the action.
func (s *stepRun) didItHappen(ctx context.Context) Reading {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	if ask := s.step.Repeat.Ask; ask != "" {
		return s.scope.askOfStep(ctx, ask, s.past.intent.StartedAt)
	}
	if w, ok := s.action.(Witness); ok {
		return w.DidItHappen(ctx, s.env(readOnly{s.run.runner}), s.change, s.past.intent.StartedAt)
	}
	return Unknown("the runbook has no question that tells")
}

// judge goes from a known outcome to a verdict.
func (s *stepRun) judge(ctx context.Context, record outcomeRecord) (ending, error) {
	if record.Error == "" {
		return s.measure(ctx, record.Outcome)
	}
	return s.decide(ctx, verdict{why: record.Error})
}

func (s *stepRun) measure(ctx context.Context, out Outcome) (ending, error) {
	if !s.step.Verifies() {
		return s.decide(ctx, verdict{verified: true})
	}
	s.enter(runbooks.StepVerifying, "")
	v := s.step.Verify
	if most := s.run.d.MaxHold; most > 0 && v.Hold > most {
		s.reservation = fmt.Sprintf("the hold of step %s was shortened from %s to %s by policy", s.step.ID, v.Hold, most)
		s.result.Measured = append(s.result.Measured, s.reservation)
		v.Hold = most
	}
	w := &watch{Verify: v, Now: s.run.d.Now, Sleep: s.run.d.sleep, Ask: func(ctx context.Context) Reading { return s.ask(ctx, out) }}
	if s.step.Deadman > 0 && s.past.attempt > 0 {
		return s.decide(ctx, s.unlessCutOff(ctx, w))
	}
	return s.decide(ctx, w.run(ctx))
}

// ask asks the action, when it measures its own result, and the runbook.
func (s *stepRun) ask(ctx context.Context, out Outcome) Reading {
	var got Reading
	if v, ok := s.action.(Verifier); ok {
		if got = v.Verify(ctx, s.env(readOnly{s.run.runner}), s.change, out); got.Truth != expr.True || s.step.Verify.That == "" {
			return got
		}
		got.Text += "; "
	}
	that := s.scope.askOfStep(ctx, s.step.Verify.That, s.result.StartedAt)
	return Reading{Truth: that.Truth, Text: got.Text + that.Text}
}

// decide records the verdict. One that a stop has cut short is no verdict: it
// is not recorded, so that a run that is taken up again measures again.
func (s *stepRun) decide(ctx context.Context, v verdict) (ending, error) {
	record := verdictRecord{Verified: v.verified, Measured: append(s.result.Measured, v.measured...), Why: v.why, CannotTell: v.cannotTell}
	if v.cut {
		s.result.Measured, s.result.EndedAt = record.Measured, s.run.d.Now()
		return s.run.fail(stopped, fmt.Sprintf("step %s: %s", s.step.ID, v.why)), nil
	}
	if err := s.recordVerdict(ctx, record); err != nil {
		return "", err
	}
	s.takeVerdict(record)
	if !v.verified {
		return s.refuted(ctx, v.why, v.cannotTell)
	}
	return goOn, nil
}

func (s *stepRun) recordVerdict(ctx context.Context, v verdictRecord) error {
	if s.past.attempt == 0 { // it had nothing to change
		return s.run.append(ctx, s.step.ID, 0, RecordDecided, decidedRecord{Verdict: &v})
	}
	return s.run.append(ctx, s.step.ID, s.past.attempt, RecordVerified, v)
}

// refuted tries once more, if the runbook says so and the run lets it. What could
// only not be told is no reason to: it may have worked.
func (s *stepRun) refuted(ctx context.Context, why string, cannotTell bool) (ending, error) {
	next := s.past.attempt + 1
	again := s.past.attempt > 0 && next <= 1+s.step.Retry.Count && !cannotTell
	if again && !s.run.d.sleep(ctx, s.step.Retry.After(next)) && leftAsItIs(ctx) {
		return s.run.fail(stopped, fmt.Sprintf("stopped before step %s was tried again", s.step.ID)), nil
	}
	if !again || s.mayStart(ctx) != goOn {
		return s.run.fail(refuted, fmt.Sprintf("step %s was refuted: %s", s.step.ID, why)), nil
	}
	s.earlier = s.acted
	s.past.outcome, s.past.verdict, s.result.Error, s.result.Measured = nil, nil, "", []string{}
	return s.act(ctx, next)
}

func (s *stepRun) takeOutcome(r outcomeRecord) {
	s.enter(runbooks.StepOutcome, r.Outcome.Changed)
	s.result.EndedAt, s.result.ExitCode, s.result.Changed = r.EndedAt, r.Outcome.ExitCode, r.Outcome.Changed
	s.result.Error, s.result.Transcript = r.Error, r.Transcript
	s.acted = s.earlier || r.Touched
	if len(r.Outputs) > 0 {
		s.result.Outputs = expr.Coerce(s.scope.rb.OutputFields(), r.Outputs)
		s.scope.found.give(s.result.Outputs)
	}
}

func (s *stepRun) takeVerdict(v verdictRecord) {
	s.result.Measured, s.result.Verified = v.Measured, v.Verified
	if s.result.EndedAt.IsZero() {
		s.result.EndedAt = s.run.d.Now()
	}
	if v.Verified {
		s.enter(runbooks.StepVerified, "")
		return
	}
	if s.result.Error == "" {
		s.result.Error = v.Why
	}
	s.enter(runbooks.StepRefuted, v.Why)
}

func (s *stepRun) enter(status runbooks.StepStatus, text string) {
	s.result.Status = status
	if text == "" {
		text = string(status)
	} else {
		text = string(status) + ": " + text
	}
	s.tell(Event{Kind: "step", Text: text, Status: status, Timeout: s.longest(status)})
}

func (s *stepRun) tell(e Event) {
	e.Step = s.step.ID
	s.run.d.event(e)
}

// longest is how long the step may be in the status; 0 where nothing is done.
func (s *stepRun) longest(status runbooks.StepStatus) time.Duration {
	switch status {
	case runbooks.StepRunning, runbooks.StepUndoing:
		return s.step.Timeout
	case runbooks.StepVerifying:
		hold := s.step.Verify.Hold
		if most := s.run.d.MaxHold; most > 0 {
			hold = min(hold, most)
		}
		return s.step.Verify.Within + hold
	case runbooks.StepPlanned, runbooks.StepIntent, runbooks.StepOutcome, runbooks.StepVerified, runbooks.StepRefuted,
		runbooks.StepUndone, runbooks.StepStuck, runbooks.StepUnknown, runbooks.StepSkipped:
	}
	return 0
}

func (s *stepRun) env(r remote.Runner) *Env { return s.scope.env(s.step, r, s.run.d) }

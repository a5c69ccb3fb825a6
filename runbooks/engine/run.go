package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// Run plans again and, when the plan is still the approved one or can be made
// narrower than it, carries it out: never more than was approved, and never more
// than would be planned now. Ending ctx stops the run safely: a running command is waited for, no
// other step starts, and what was done is judged. An error means that the
// journal could not be written or read: the run stopped where it was, and
// Resume goes on. In every other case the result says all.
func Run(ctx context.Context, r remote.Runner, b Binding, approved Approved, d Deps) (runbooks.RunResult, error) {
	records, err := d.Journal.Records()
	if err != nil {
		return runbooks.RunResult{}, fmt.Errorf("read the journal: %w", err)
	}
	if len(records) > 0 {
		return runbooks.RunResult{}, fault.New(fault.Conflict, "the run was begun before; it can only be resumed")
	}
	return begin(ctx, r, b, approved, d)
}

// Resume goes on with a run after a crash, from its journal. A step whose
// outcome is not known is looked at, and never repeated blindly. A run that
// has not begun is begun.
func Resume(ctx context.Context, r remote.Runner, b Binding, approved Approved, d Deps) (runbooks.RunResult, error) {
	records, err := d.Journal.Records()
	if err != nil {
		return runbooks.RunResult{}, fmt.Errorf("read the journal: %w", err)
	}
	begun, past, err := recall(records)
	if err != nil {
		return runbooks.RunResult{}, err
	}
	if begun == nil {
		return begin(ctx, r, b, approved, d)
	}
	if begun.Digest != approved.Digest {
		return runbooks.RunResult{}, fault.New(fault.Conflict, "the run was begun with another plan, %s", begun.Digest)
	}
	values, _, err := runbooks.BindInputs(b.Runbook, b.Given, b.vars())
	if err != nil {
		return runbooks.RunResult{}, fmt.Errorf("bind runbook %s: %w", b.Runbook.Name, err)
	}
	s, err := newScope(readOnly{r}, b, d, values)
	if err != nil {
		return runbooks.RunResult{}, err
	}
	x, err := newRun(r, b, d, &prepared{scope: s, changes: begun.Steps, plan: runbooks.Plan{Digest: begun.Digest}})
	if err != nil {
		return runbooks.RunResult{}, err
	}
	x.restore(past)
	return x.carryOut(ctx, begun.StartedAt)
}

// begin plans, compares and starts.
func begin(ctx context.Context, r remote.Runner, b Binding, approved Approved, d Deps) (runbooks.RunResult, error) {
	now := d.Now()
	ended := func(status runbooks.RunStatus, why string) (runbooks.RunResult, error) {
		return runbooks.RunResult{
			PlanDigest: approved.Digest, Status: status, Why: why, Steps: []runbooks.StepResult{}, StartedAt: now, EndedAt: d.Now(),
		}, nil
	}
	if err := approved.check(); err != nil {
		return ended(runbooks.RunRefused, err.Error())
	}
	p, err := prepare(ctx, r, b, d)
	if err == nil && p.plan.Refused == "" {
		err = p.admit(approved, d)
	}
	switch {
	case err != nil && fault.Is(err, fault.Denied):
		return ended(runbooks.RunRefused, err.Error())
	case err != nil:
		return ended(runbooks.RunFailed, err.Error())
	case p.plan.Refused != "":
		return ended(runbooks.RunRefused, p.plan.Refused)
	case ctx.Err() != nil:
		return ended(runbooks.RunCancelled, "it was stopped before it began")
	}
	x, err := newRun(r, b, d, p)
	if err != nil {
		return ended(runbooks.RunFailed, err.Error())
	}
	record := planRecord{Digest: approved.Digest, StartedAt: now, Steps: p.changes}
	if err := x.append(ctx, "", 0, RecordPlan, record); err != nil {
		res, _ := ended(runbooks.RunFailed, "the journal could not be written, so nothing was begun")
		return res, err
	}
	return x.carryOut(ctx, now)
}

// run is one run on its way.
type run struct {
	runner remote.Runner
	b      Binding
	d      Deps
	p      *prepared
	steps  []*stepRun

	deadline time.Time // no step starts after it; a verification is bounded by itself
}

func newRun(r remote.Runner, b Binding, d Deps, p *prepared) (*run, error) {
	x := &run{runner: r, b: b, d: d, p: p}
	for _, step := range b.Runbook.Steps {
		at := slices.IndexFunc(p.changes, func(c stepChange) bool { return c.ID == step.ID })
		if at < 0 {
			return nil, fault.New(fault.Internal, "the journal does not know step %s", step.ID)
		}
		action, err := d.action(step.Action)
		if err != nil {
			return nil, err
		}
		x.steps = append(x.steps, newStepRun(x, step, action, p.changes[at]))
	}
	return x, nil
}

// restore puts every step where the journal has left it. One that left no
// trace although a later one did had nothing to do, and is not asked again: its
// turn is over.
func (x *run) restore(past map[string]*history) {
	later := false
	for _, s := range slices.Backward(x.steps) {
		h := past[s.step.ID]
		if h == nil && later {
			s.skip = "it had nothing to do when it was its turn"
		}
		later = later || h != nil
		s.restore(h)
	}
}

// append records something of a step. Cancelling the run must not tear its
// record apart from its deed.
func (x *run) append(ctx context.Context, step string, attempt int, kind RecordKind, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "encode the %s of step %q", kind, step)
	}
	r := Record{Step: step, Attempt: attempt, Kind: kind, At: x.d.Now(), Data: body}
	if err := x.d.Journal.Append(context.WithoutCancel(ctx), r); err != nil {
		return fmt.Errorf("record the %s of step %q: %w", kind, step, err)
	}
	return nil
}

// ending is how a step leaves the run.
type ending string

// The endings of a step.
const (
	goOn    ending = "go_on"   // verified or skipped
	refused ending = "refused" // it must not act
	refuted ending = "refuted" // it did not do what it should
	stopped ending = "stopped" // somebody ended the run
	late    ending = "late"    // the run has no time left for it
	unknown ending = "unknown" // whether it acted cannot be told
)

// carryOut goes through the steps until one of them ends the run.
func (x *run) carryOut(ctx context.Context, startedAt time.Time) (runbooks.RunResult, error) {
	x.deadline = startedAt.Add(x.b.Runbook.Deadline)
	for i, s := range x.steps {
		end, err := s.advance(ctx)
		if err != nil {
			return x.result(x.statusAfterJournal(), startedAt, err.Error()), err
		}
		if end == goOn {
			continue
		}
		status, err := x.leave(ctx, end, i)
		return x.result(status, startedAt, s.why), err
	}
	return x.result(runbooks.RunVerified, startedAt, x.reservations()), nil
}

// leave ends a run at its step i. What was refuted is taken back with all that
// came before it, and so is half a cure that ran out of time; when somebody
// stops the run, what was measured true stays.
func (x *run) leave(ctx context.Context, end ending, i int) (runbooks.RunStatus, error) {
	switch end {
	case unknown:
		return runbooks.RunUnknown, nil
	case stopped:
		return runbooks.RunCancelled, nil
	case goOn, refused, refuted, late:
	}
	status, err := x.takeBack(context.WithoutCancel(ctx), i)
	switch {
	case err != nil:
		return status, err
	case status == runbooks.RunFailed && end == refused:
		status = runbooks.RunRefused
	case status != runbooks.RunUnknown && ctx.Err() != nil:
		status = runbooks.RunCancelled
	}
	return status, nil
}

// takeBack undoes step last and, in reverse, those before it.
func (x *run) takeBack(ctx context.Context, last int) (runbooks.RunStatus, error) {
	changed, left := false, false
	for i := last; i >= 0; i-- {
		s := x.steps[i]
		if !s.changedSomething() {
			continue
		}
		changed = true
		if err := s.undo(ctx); err != nil {
			return runbooks.RunUnknown, err
		}
		switch {
		case s.result.Status == runbooks.StepUnknown:
			return runbooks.RunUnknown, nil
		case s.result.Status == runbooks.StepStuck:
			return runbooks.RunRefuted, nil // undoing what is below a stuck step may make it worse
		case !s.result.Undone:
			left = true
		}
	}
	switch {
	case left:
		return runbooks.RunRefuted, nil
	case changed:
		return runbooks.RunUndone, nil
	}
	return runbooks.RunFailed, nil
}

// statusAfterJournal is what can be said of a run whose journal failed.
func (x *run) statusAfterJournal() runbooks.RunStatus {
	if slices.ContainsFunc(x.steps, (*stepRun).changedSomething) {
		return runbooks.RunUnknown
	}
	return runbooks.RunFailed
}

// reservations says what a verified run has not shown as the runbook wants it.
func (x *run) reservations() string {
	for _, s := range x.steps {
		if s.why != "" {
			return s.why
		}
	}
	return "every step was verified"
}

func (x *run) result(status runbooks.RunStatus, startedAt time.Time, why string) runbooks.RunResult {
	for _, s := range x.steps {
		if s.narrow != "" {
			why += fmt.Sprintf("; narrower than approved: step %s %s", s.step.ID, s.narrow)
		}
	}
	res := runbooks.RunResult{
		PlanDigest: x.p.plan.Digest, Status: status, Why: why, Steps: []runbooks.StepResult{}, StartedAt: startedAt, EndedAt: x.d.Now(),
	}
	for _, s := range x.steps {
		res.Steps = append(res.Steps, s.result)
	}
	return res
}

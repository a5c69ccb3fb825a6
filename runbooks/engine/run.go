package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

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
	known, err := recall(records)
	if err != nil {
		return runbooks.RunResult{}, err
	}
	if known.plan == nil {
		return begin(ctx, r, b, approved, d)
	}
	if known.plan.Digest != approved.Digest {
		return runbooks.RunResult{}, fault.New(fault.Conflict, "the run was begun with another plan, %s", known.plan.Digest)
	}
	values, _, err := runbooks.BindInputs(b.Runbook, b.Given, b.vars())
	if err != nil {
		return runbooks.RunResult{}, fmt.Errorf("bind runbook %s: %w", b.Runbook.Name, err)
	}
	s, err := newScope(readOnly{r}, b, d, values, nil)
	if err != nil {
		return runbooks.RunResult{}, err
	}
	x, err := newRun(ctx, r, b, d, s, known)
	if err != nil {
		return runbooks.RunResult{}, err
	}
	return x.carryOut(ctx)
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
		err = errors.Join(p.admit(approved, d), approved.enough(p.plan))
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
	record := planRecord{Digest: approved.Digest, StartedAt: now, Steps: p.changes, Lists: p.lists, Branches: p.branches}
	x, err := newRun(ctx, r, b, d, p.scope, remembered{plan: &record})
	if err != nil {
		return ended(runbooks.RunFailed, err.Error())
	}
	if err := x.append(ctx, "", 0, RecordPlan, record); err != nil {
		res, _ := ended(runbooks.RunFailed, "the journal could not be written, so nothing was begun")
		return res, err
	}
	return x.carryOut(ctx)
}

// ErrSuspended is the cause of a context whose run is not to end, but to be
// resumed later from its journal: nothing is begun any more, and what follows a
// run in any case does not follow yet.
var ErrSuspended = errors.New("the run is suspended")

// run is one run on its way.
type run struct {
	runner  remote.Runner
	b       Binding
	d       Deps
	plan    planRecord
	changes map[string]stepChange
	lists   map[string][]string
	left    *leftRecord
	leaving *leavingRecord

	main, onFailure, always sequence
	calls                   []called     // in the order of the plan
	steps                   []*stepRun   // all of them, in the order of the plan
	room                    *room        // for transcripts
	begun                   atomic.Int64 // steps that have begun to act, for their order

	mu    sync.Mutex // guards below
	worst ending
	why   string // of worst
}

// newRun puts every step where the journal has left it.
func newRun(ctx context.Context, r remote.Runner, b Binding, d Deps, s *scope, known remembered) (*run, error) {
	x := &run{
		runner: r, b: b, d: d.serial(), plan: *known.plan, changes: map[string]stepChange{}, lists: known.plan.Lists, left: known.left, leaving: known.leaving,
		worst: goOn, room: newRoom(),
	}
	for _, c := range known.plan.Steps {
		x.changes[c.ID] = c
	}
	x.begun.Store(int64(known.begun))
	var err error
	top := place{rb: b.Runbook, scope: s}
	if x.main, err = x.grow(ctx, b.Runbook.Flow, top, known.steps); err != nil {
		return nil, err
	}
	if x.onFailure, err = x.growPhase(ctx, onFailureOf, top, known.steps); err != nil {
		return nil, err
	}
	if x.always, err = x.growPhase(ctx, alwaysOf, top, known.steps); err != nil {
		return nil, err
	}
	order := map[string]int{}
	for i, c := range known.plan.Steps {
		order[c.ID] = i
	}
	slices.SortFunc(x.steps, func(a, b *stepRun) int { return order[a.step.ID] - order[b.step.ID] })
	return x, nil
}

// fail notes how and why the run does not go on. What is graver counts, and of
// the same the first.
func (x *run) fail(end ending, why string) ending {
	x.mu.Lock()
	defer x.mu.Unlock()
	if end.graver(x.worst) {
		x.worst, x.why = end, why
	}
	return end
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
	goOn       ending = "go_on"       // verified or skipped
	refused    ending = "refused"     // it must not act
	refuted    ending = "refuted"     // it did not do what it should
	stopped    ending = "stopped"     // somebody ended the run
	late       ending = "late"        // the run has no time left for it
	unknown    ending = "unknown"     // whether it acted cannot be told
	handedOver ending = "handed_over" // the runbook ends here, for a person to go on
)

// carryOut goes through the steps until one of them ends the run, and then does
// what follows in any case.
func (x *run) carryOut(ctx context.Context) (runbooks.RunResult, error) {
	x.learnSecrets(ctx)
	follows := len(x.onFailure)+len(x.always) > 0
	if x.left == nil {
		status, why, err := x.carryMain(ctx)
		switch {
		case err != nil:
			return x.result(status, why), err
		case !follows:
			return x.result(status, why), nil
		case errors.Is(context.Cause(ctx), ErrSuspended) && status != runbooks.RunVerified:
			return x.result(runbooks.RunRunning, why), nil
		}
		x.left = &leftRecord{status, why}
		if err := x.append(ctx, "", 0, RecordLeft, x.left); err != nil {
			return x.result(status, why), err
		}
	}
	if errors.Is(context.Cause(ctx), ErrSuspended) {
		return x.result(runbooks.RunRunning, x.left.Why), nil
	}
	return x.follow(ctx)
}

// unlessSuspended returns a context that ends when ctx is suspended, and not when
// somebody stops the run.
func unlessSuspended(ctx context.Context) (context.Context, func()) {
	out, end := context.WithCancelCause(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrSuspended) {
			end(context.Cause(ctx))
		}
	})
	return out, func() { forget(); end(nil) }
}

// carryMain goes through the steps, and takes back what must be. That it does is
// written down first: a run that goes on after a crash then begins no other step.
func (x *run) carryMain(ctx context.Context) (runbooks.RunStatus, string, error) {
	if x.leaving == nil {
		end, err := x.main.carry(ctx)
		switch {
		case err != nil:
			return x.statusAfterJournal(), err.Error(), err
		case end == goOn:
			return runbooks.RunVerified, x.reservations(), nil
		}
		x.leaving = &leavingRecord{Ending: end, Why: x.why, Cancelled: ctx.Err() != nil && !errors.Is(context.Cause(ctx), ErrSuspended)}
		if end.takesBack() && len(x.changed()) > 0 {
			if err := x.append(ctx, "", 0, RecordLeaving, x.leaving); err != nil {
				return x.statusAfterJournal(), err.Error(), err
			}
		}
	}
	x.worst, x.why = x.leaving.Ending, x.leaving.Why
	status, err := x.leave(ctx, *x.leaving)
	return status, x.why, err
}

// follow carries out on_failure and always. They do not change how the run
// ended, unless it is not known what they did.
func (x *run) follow(ctx context.Context) (runbooks.RunResult, error) {
	status, why := x.left.Status, x.left.Why
	ctx, stop := unlessSuspended(ctx)
	defer stop()
	for _, phase := range []struct {
		name  runbooks.Phase
		nodes sequence
	}{{runbooks.PhaseOnFailure, x.onFailure}, {runbooks.PhaseAlways, x.always}} {
		if phase.name == runbooks.PhaseOnFailure && status == runbooks.RunVerified {
			continue
		}
		x.worst, x.why = goOn, ""
		end, err := phase.nodes.carry(ctx)
		switch {
		case err != nil:
			return x.result(runbooks.RunUnknown, err.Error()), err
		case end == stopped: // nothing else stops it
			return x.result(runbooks.RunRunning, why), nil
		case end == unknown:
			status = runbooks.RunUnknown
		}
		if end != goOn {
			why += fmt.Sprintf("; %s: %s", phase.name, x.why)
		}
	}
	return x.result(status, why), nil
}

// leave ends a run at a step. What was refuted is taken back with all that came
// before it, and so is half a cure that ran out of time; when somebody stops the
// run, or the runbook hands it over, what was measured true stays.
func (x *run) leave(ctx context.Context, l leavingRecord) (runbooks.RunStatus, error) {
	switch l.Ending {
	case unknown:
		return runbooks.RunUnknown, nil
	case stopped:
		return runbooks.RunCancelled, nil
	case handedOver:
		if len(x.changed()) > 0 {
			return runbooks.RunRefuted, nil
		}
		return runbooks.RunFailed, nil
	case goOn, refused, refuted, late:
	}
	status, err := x.takeBack(context.WithoutCancel(ctx))
	switch {
	case err != nil:
		return status, err
	case status == runbooks.RunFailed && l.Ending == refused:
		status = runbooks.RunRefused
	case status != runbooks.RunUnknown && l.Cancelled && !slices.ContainsFunc(x.steps, (*stepRun).stuck):
		status = runbooks.RunCancelled
	}
	return status, nil
}

// takesBack reports whether a run that ends so is taken back.
func (e ending) takesBack() bool { return e == refused || e == refuted || e == late }

// changed returns the steps that may have changed something, the last first.
func (x *run) changed() []*stepRun {
	out := []*stepRun{}
	for _, s := range slices.Backward(x.steps) {
		if s.step.Phase == runbooks.PhaseMain && s.changedSomething() {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b *stepRun) int { return b.order - a.order })
	return out
}

// takeBack undoes what was changed, the last first.
func (x *run) takeBack(ctx context.Context) (runbooks.RunStatus, error) {
	left, all := false, x.changed()
	for _, s := range all {
		if err := s.undo(ctx); err != nil {
			return runbooks.RunUnknown, err
		}
		switch {
		case s.result.Status == runbooks.StepUnknown:
			return runbooks.RunUnknown, nil
		case s.stuck():
			x.why += fmt.Sprintf("; step %s could not be taken back: %s", s.step.ID, s.result.Error)
			return runbooks.RunRefuted, nil // undoing what is below a stuck step may make it worse
		case !s.result.Undone:
			left = true
		}
	}
	switch {
	case left:
		return runbooks.RunRefuted, nil
	case len(all) > 0:
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
		if s.reservation != "" {
			return s.reservation
		}
	}
	return "every step was verified"
}

func (x *run) result(status runbooks.RunStatus, why string) runbooks.RunResult {
	for _, s := range x.steps {
		if s.narrow != "" {
			why += fmt.Sprintf("; narrower than approved: step %s %s", s.step.ID, s.narrow)
		}
	}
	res := runbooks.RunResult{
		PlanDigest: x.plan.Digest, Status: status, Why: why, Steps: []runbooks.StepResult{}, StartedAt: x.plan.StartedAt, EndedAt: x.d.Now(),
	}
	for _, s := range x.steps {
		res.Steps = append(res.Steps, s.result)
	}
	return res
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/rehearsal"
	"github.com/secondline-ops/secondline/runbooks"
)

// OnlyFiles is an action that changes nothing but files, as far as the engine can
// tell, so that it can be rehearsed: Plan, Apply and Verify work where files are
// those of the target, and no service, process or network is to be reached.
type OnlyFiles interface{ ChangesOnlyFiles() }

// Stage is where steps are rehearsed.
type Stage struct {
	Runner  remote.Runner // of a rehearsal.Rehearsal
	Changes func(ctx context.Context) (rehearsal.Changes, error)
}

// Rehearse plans like Plan, by reading the target, and carries the steps out on
// the stage, one after the other and each once. Retries, undo and on_failure
// are not rehearsed, nor how long something stays true. A plan that is refused
// has no rehearsal.
func Rehearse(ctx context.Context, target remote.Runner, stage Stage, b Binding, d Deps) (runbooks.Plan, runbooks.Rehearsal, error) {
	all := runbooks.Rehearsal{Steps: []runbooks.RehearsedStep{}}
	p, err := prepare(ctx, target, b, d)
	if err != nil || p.plan.Refused != "" {
		return planOf(p), all, err
	}
	values, _, err := runbooks.BindInputs(b.Runbook, b.Given, b.vars())
	if err != nil {
		return p.plan, all, fmt.Errorf("bind runbook %s: %w", b.Runbook.Name, err)
	}
	s, err := newScope(readOnly{rehearsal.ForProbes(stage.Runner)}, b, d, values, nil)
	if err != nil {
		return p.plan, all, err
	}
	x, err := newRun(ctx, stage.Runner, b, d, s, remembered{plan: &planRecord{
		Digest: p.plan.Digest, StartedAt: d.Now(), Steps: p.changes, Lists: p.lists, Branches: p.branches,
	}})
	if err != nil {
		return p.plan, all, err
	}
	r := &rehearsing{stage: stage, d: d, planned: map[string]runbooks.PlannedStep{}, done: map[string]runbooks.RehearsedStep{}}
	for _, step := range p.plan.Steps {
		r.planned[step.ID] = step
	}
	for _, phase := range []sequence{x.main, x.onFailure, x.always} {
		r.carry(ctx, phase, "")
	}
	for _, step := range p.plan.Steps { // in the order of the plan
		if done, ok := r.done[step.ID]; ok {
			all.Steps = append(all.Steps, done)
		}
	}
	return p.plan, all, ctx.Err()
}

func planOf(p *prepared) runbooks.Plan {
	if p == nil {
		return runbooks.Plan{}
	}
	return p.plan
}

// rehearsing is a rehearsal on its way.
type rehearsing struct {
	stage   Stage
	d       Deps
	planned map[string]runbooks.PlannedStep
	done    map[string]runbooks.RehearsedStep
	ended   string // why no further step is reached
	unsure  string // the first step of which it is not known how it would go
}

// carry goes through the flow. blocked says why it is not known whether anything
// of it would be done.
func (r *rehearsing) carry(ctx context.Context, n node, blocked string) {
	switch n := n.(type) {
	case sequence:
		for _, part := range n {
			r.carry(ctx, part, blocked)
		}
	case concurrent:
		r.carry(ctx, sequence(n.nodes), blocked)
	case following:
		r.carry(ctx, n.nodes, blocked)
	case *choice:
		r.choose(ctx, n, blocked)
	case *stepRun:
		r.take(ctx, n, blocked)
	default:
		panic(fmt.Sprintf("engine: a flow holds a %T", n))
	}
}

// choose takes the branch of the plan, or of several that are open the one that
// holds now.
func (r *rehearsing) choose(ctx context.Context, c *choice, blocked string) {
	taken := false
	for i, branch := range c.nodes {
		if taken || !slices.Contains(c.planned, i) {
			branch.each(func(s *stepRun) { r.leave(s, runbooks.RehearsalSkipped, "another branch is taken") })
			continue
		}
		got := Reading{Truth: expr.True}
		if condition := c.branches[i].If; condition != "" && blocked == "" && c.scope.readsOutputs(condition) {
			got = c.scope.ask(ctx, condition)
		}
		switch got.Truth {
		case expr.True:
			r.carry(ctx, branch, blocked)
			taken = blocked == ""
		case expr.False:
			branch.each(func(s *stepRun) { r.leave(s, runbooks.RehearsalSkipped, got.Text) })
		case expr.CannotTell:
			blocked = "it cannot be told whether this branch is taken: " + got.Text
			r.carry(ctx, branch, blocked)
		}
	}
}

// leave notes a step that is not carried out.
func (r *rehearsing) leave(s *stepRun, status runbooks.RehearsalStatus, why string) {
	if status == runbooks.RehearsalNotDone && r.unsure == "" {
		r.unsure = s.step.ID
	}
	r.done[s.step.ID] = runbooks.RehearsedStep{
		ID: s.step.ID, Action: s.step.Action, Status: status, Why: why,
		Measured: []string{}, Transcript: []runbooks.Exchange{}, Files: []rehearsal.Change{}, Warnings: []string{},
	}
}

// take rehearses a step, or says why not.
func (r *rehearsing) take(ctx context.Context, s *stepRun, blocked string) {
	switch _, onlyFiles := s.action.(OnlyFiles); {
	case r.planned[s.step.ID].Skipped != "":
		r.leave(s, runbooks.RehearsalSkipped, r.planned[s.step.ID].Skipped)
	case s.step.Phase == runbooks.PhaseOnFailure:
		r.leave(s, runbooks.RehearsalNotDone, "it follows a run that failed and was taken back")
	case ctx.Err() != nil:
		r.leave(s, runbooks.RehearsalNotReached, "the rehearsal was stopped")
	case r.ended != "":
		r.leave(s, runbooks.RehearsalNotReached, r.ended)
	case blocked != "":
		r.leave(s, runbooks.RehearsalNotDone, blocked)
	case !r.applies(ctx, s):
	case len(s.step.Secrets) > 0:
		r.leave(s, runbooks.RehearsalNotDone, "it takes a secret, which no rehearsal is given")
	case onlyFiles:
		r.rehearse(ctx, s)
	default:
		r.word(ctx, s)
	}
}

// applies asks the step's condition. What measures something is not asked behind a
// step that was not rehearsed: it would be measured without that.
func (r *rehearsing) applies(ctx context.Context, s *stepRun) bool {
	if s.step.If == "" {
		return true
	}
	if why := r.tooLate(s, s.step.If); why != "" {
		r.leave(s, runbooks.RehearsalNotDone, "it cannot be told whether it applies: "+why)
		return false
	}
	got := s.scope.ask(ctx, s.step.If)
	switch {
	case got.Truth == expr.False:
		r.leave(s, runbooks.RehearsalSkipped, got.Text)
	case got.Truth == expr.CannotTell && s.scope.readsOutputs(s.step.If):
		r.leave(s, runbooks.RehearsalNotDone, "it cannot be told whether it applies: "+got.Text)
	default: // true, or, of what a rehearsal cannot measure, what the plan has found
		return true
	}
	return false
}

// tooLate says why a condition cannot be asked any more; "" when it can.
func (r *rehearsing) tooLate(s *stepRun, that string) string {
	if r.unsure != "" && s.scope.measures(that) {
		return fmt.Sprintf("it is measured behind step %s, which was not rehearsed", r.unsure)
	}
	return ""
}

// measures reports whether an expression reads a probe.
func (s *scope) measures(that string) bool {
	program, err := s.shared.compile(s.envs[runbooks.ScopeOutcome], that, expr.Bool)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(s.rb.Probes, func(use runbooks.ProbeUse) bool { return slices.Contains(program.Vars(), use.Name) })
}

// word rehearses what is no action of files.
func (r *rehearsing) word(ctx context.Context, s *stepRun) {
	switch s.step.Action {
	case runbooks.StepNote, runbooks.StepApprove:
		r.leave(s, runbooks.RehearsalPassed, "")
	case runbooks.StepEscalate:
		r.leave(s, runbooks.RehearsalPassed, "")
		r.ended = "the run is handed over by step " + s.step.ID
	case runbooks.StepProbe:
		r.probe(ctx, s)
	case runbooks.StepWait:
		got := r.holds(ctx, s, s.step.Verify.That)
		if got.Truth == expr.True {
			r.leave(s, runbooks.RehearsalPassed, "")
			return
		}
		r.leave(s, runbooks.RehearsalNotDone, "it waits for what a rehearsal may not bring about: "+got.Text)
	default:
		r.leave(s, runbooks.RehearsalNotDone, s.step.Action+" acts on more than files")
	}
}

func (r *rehearsing) probe(ctx context.Context, s *stepRun) {
	if r.unsure != "" {
		r.leave(s, runbooks.RehearsalNotDone, fmt.Sprintf("it measures behind step %s, which was not rehearsed", r.unsure))
		return
	}
	out, err := s.action.Apply(ctx, s.env(readOnly{r.stage.Runner}), s.change)
	if err != nil {
		r.leave(s, runbooks.RehearsalNotDone, err.Error())
		return
	}
	r.leave(s, runbooks.RehearsalPassed, "")
	r.give(ctx, s, out)
}

// holds asks a condition about what was rehearsed.
func (r *rehearsing) holds(ctx context.Context, s *stepRun, that string) Reading {
	if why := r.tooLate(s, that); why != "" {
		return Unknown(that + " cannot be told: " + why)
	}
	return s.scope.askOfStep(ctx, that, s.result.StartedAt)
}

// give remembers the outputs of a step for the conditions behind it.
func (r *rehearsing) give(ctx context.Context, s *stepRun, out Outcome) {
	if len(s.step.Outputs) > 0 {
		s.scope.found.give(expr.Coerce(s.scope.rb.OutputFields(), s.scope.result(ctx, s.step, resultOf(out))))
	}
}

// rehearse plans a step again, on the stage as the steps before it have left it,
// and carries it out there.
func (r *rehearsing) rehearse(ctx context.Context, s *stepRun) {
	r.leave(s, runbooks.RehearsalPassed, "")
	done := r.done[s.step.ID]
	defer func() { r.done[s.step.ID] = done }()
	ctx, cancel := context.WithTimeoutCause(ctx, s.step.Timeout, fmt.Errorf("the step took longer than %s: %w", s.step.Timeout, context.DeadlineExceeded))
	defer cancel()
	change, err := s.action.Plan(ctx, s.env(readOnly{r.stage.Runner}))
	if err != nil {
		r.failed(s, &done, fmt.Errorf("plan it: %w", err))
		return
	}
	var out Outcome
	s.result.StartedAt = r.d.Now()
	if !change.Noop {
		t := newTranscript(r.stage.Runner, func(Event) {}, newRoom())
		out, err = s.action.Apply(ctx, s.env(t), change)
		done.Took, done.ExitCode, done.Changed = r.d.Now().Sub(s.result.StartedAt), out.ExitCode, out.Changed
		done.Transcript, _, _ = t.state()
	}
	r.look(ctx, s, &done)
	if err != nil {
		r.failed(s, &done, err)
		return
	}
	r.give(ctx, s, out)
	r.verify(ctx, s, &done, change, out)
}

// failed tells what failed from what a rehearsal cannot do.
func (r *rehearsing) failed(s *stepRun, done *runbooks.RehearsedStep, err error) {
	done.Why = err.Error()
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Result != nil {
		done.ExitCode = e.Result.ExitCode
	}
	noRoom := func(x runbooks.Exchange) bool { return strings.Contains(x.Stdout+x.Stderr, "No space left on device") }
	switch {
	case slices.ContainsFunc(done.Transcript, noRoom):
		done.Why = fmt.Sprintf("it wrote more than the %s that a rehearsal has room for, or than the disk has: %s", expr.ByteText(rehearsal.MaxBytes), done.Why)
		done.Status = runbooks.RehearsalNotDone
	case errors.Is(err, rehearsal.ErrNotRehearsed), cutOff(err):
		done.Status = runbooks.RehearsalNotDone
	default:
		done.Status = runbooks.RehearsalFailed
		if len(done.Transcript) > 0 {
			done.Warnings = append(done.Warnings, "no service, network or device is reached in a rehearsal: see whether it failed for want of one")
		}
		r.ended = fmt.Sprintf("step %s failed", s.step.ID)
		return
	}
	if r.unsure == "" {
		r.unsure = s.step.ID
	}
}

// cutOff reports whether the target was lost on the way.
func cutOff(err error) bool {
	e, ok := errors.AsType[*remote.Error](err)
	return ok && slices.Contains([]remote.Class{remote.Unreachable, remote.Refused, remote.AuthFailed, remote.HostKey, remote.Lost}, e.Class)
}

// look tells what became of files, and what of it the plan does not name.
func (r *rehearsing) look(ctx context.Context, s *stepRun, done *runbooks.RehearsedStep) {
	changes, err := r.stage.Changes(context.WithoutCancel(ctx))
	if err != nil {
		done.Warnings = append(done.Warnings, fmt.Sprintf("what it changed is not known: %v", err))
		return
	}
	done.Files = changes.List
	if changes.Left != "" {
		done.Warnings = append(done.Warnings, "not told here: "+changes.Left)
	}
	for _, name := range unnamed(changes.List, r.planned[s.step.ID].Touches) {
		done.Warnings = append(done.Warnings, name+", which the step does not name in touches")
	}
}

// unnamed says which changes no touch names. What is in a folder that was made goes
// with the folder.
func unnamed(changes []rehearsal.Change, touches []runbooks.Touch) []string {
	made, out := []string{}, []string{}
	for _, c := range changes { // in the order of their paths: a folder before what is in it
		named := func(t runbooks.Touch) bool { return t.Covers(c.Path) }
		inside := func(folder string) bool { return strings.HasPrefix(c.Path, folder+"/") }
		switch {
		case slices.ContainsFunc(made, inside):
		case !slices.ContainsFunc(touches, named):
			out = append(out, fmt.Sprintf("%s was %s", c.Path, c.Kind))
		case c.Kind == rehearsal.Created:
			made = append(made, c.Path)
		}
	}
	return out
}

// verify asks once what the run would ask until it holds.
func (r *rehearsing) verify(ctx context.Context, s *stepRun, done *runbooks.RehearsedStep, change Change, out Outcome) {
	readings := []Reading{}
	if v, ok := s.action.(Verifier); ok {
		readings = append(readings, v.Verify(ctx, s.env(readOnly{r.stage.Runner}), change, out))
	}
	if that := s.step.Verify.That; that != "" {
		readings = append(readings, r.holds(ctx, s, that))
	}
	for _, got := range readings {
		done.Measured = append(done.Measured, got.Text)
		if got.Truth == expr.False && done.Status != runbooks.RehearsalFailed {
			r.failed(s, done, errors.New(got.Text))
		}
	}
}

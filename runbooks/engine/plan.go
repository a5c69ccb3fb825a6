package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// Plan binds the runbook and reads the target for real. It changes nothing. A
// plan that must not run says so in Refused; an error means that no plan could
// be made.
func Plan(ctx context.Context, r remote.Runner, b Binding, d Deps) (runbooks.Plan, error) {
	p, err := prepare(ctx, r, b, d)
	if err != nil {
		return runbooks.Plan{}, err
	}
	return p.plan, nil
}

// prepared is a plan with what is needed to carry it out.
type prepared struct {
	plan    runbooks.Plan
	binding Binding
	scope   *scope
	changes []stepChange
	scopes  map[string]*scope   // of the steps, by their ids in the plan
	lists   map[string][]string // elements of each foreach, by its id
	// branches are those of each choose that may be taken, by its id.
	branches map[string][]int
}

func prepare(ctx context.Context, r remote.Runner, b Binding, d Deps) (*prepared, error) {
	values, shown, err := runbooks.BindInputs(b.Runbook, b.Given, b.vars())
	if err != nil {
		return nil, fmt.Errorf("bind runbook %s: %w", b.Runbook.Name, err)
	}
	s, err := newScope(readOnly{r}, b, d, values, nil)
	if err != nil {
		return nil, err
	}
	rb := b.Runbook
	p := &prepared{binding: b, scope: s, scopes: map[string]*scope{}, lists: map[string][]string{}, branches: map[string][]int{}, plan: runbooks.Plan{
		Runbook: rb.Name, Title: rb.Title, RunbookDigest: rb.Digest, Target: b.Target.ID, Inputs: shown,
		Preconditions: []runbooks.Precondition{}, Locks: []string{}, Steps: []runbooks.PlannedStep{}, Effect: runbooks.Read,
		Autonomy: rb.Autonomy, WorstCase: rb.WorstCase(), MadeAt: d.Now(),
	}}
	if p.plan.Target == "" {
		return nil, fault.New(fault.Denied, "runbook %s has no target", rb.Name)
	}
	top := place{rb: rb, scope: s}
	if err := p.begin(ctx, top); err != nil {
		return nil, err
	}
	calls, err := p.blocks(ctx, rb.Flow, top, d)
	if err != nil {
		return nil, err
	}
	for _, phase := range []func(*runbooks.Runbook) []runbooks.Block{onFailureOf, alwaysOf} {
		for _, at := range append([]place{top}, calls...) {
			if _, err := p.blocks(ctx, phase(at.rb), at, d); err != nil {
				return nil, err
			}
		}
	}
	if err := p.evidenceFits(); err != nil {
		return nil, err
	}
	p.plan.Digest = runbooks.DigestPlan(p.plan)
	return p, nil
}

// evidenceFits refuses a run that would save more evidence than a journal and a
// report hold.
func (p *prepared) evidenceFits() error {
	kinds := 0
	for _, s := range p.plan.Steps {
		if s.Skipped == "" {
			kinds += len(s.Preserve)
		}
	}
	if kinds*maxEvidenceBytes > maxRunEvidence {
		return fault.New(fault.TooLarge, "the run would save %d pieces of evidence, more than %d", kinds, maxRunEvidence/maxEvidenceBytes).
			WithHint("preserve once before the foreach, or take fewer elements at a time")
	}
	return nil
}

// begin plans what a runbook asks for before its steps: its locks, in whose names
// "host" stands for the target itself, and its preconditions. Those of a runbook
// that is called count for the whole run.
func (p *prepared) begin(ctx context.Context, at place) error {
	for _, text := range at.rb.Locks {
		name, err := at.scope.render(ctx, text)
		if err != nil {
			return fmt.Errorf("name the lock %q: %w", text, err)
		}
		if name == "host" {
			name = "host/" + p.plan.Target
		}
		if !slices.Contains(p.plan.Locks, name) {
			p.plan.Locks = append(p.plan.Locks, name)
		}
	}
	for _, rate := range at.rb.RatesOn(p.plan.Target) {
		if !slices.Contains(p.plan.Rates, rate) { // called twice, it counts once
			p.plan.Rates = append(p.plan.Rates, rate)
		}
	}
	p.require(ctx, at.rb.Require, at.scope)
	return nil
}

// require asks every precondition. One that is not true refuses.
func (p *prepared) require(ctx context.Context, list []runbooks.Requirement, s *scope) {
	for _, r := range list {
		got := s.ask(ctx, r.That)
		p.plan.Preconditions = append(p.plan.Preconditions, runbooks.Precondition{
			That: r.That, Say: r.Say, Because: r.Because, Truth: got.Truth, Why: got.Text, Values: got.Values,
		})
		switch got.Truth {
		case expr.True:
		case expr.False:
			p.refuse("%s (%s)", r.Because, got.Text)
		case expr.CannotTell:
			p.refuse("a precondition cannot be told (%s)", got.Text)
		}
	}
}

func (p *prepared) refuse(format string, args ...any) {
	if p.plan.Refused == "" {
		p.plan.Refused = fmt.Sprintf(format, args...)
	}
}

func (p *prepared) step(ctx context.Context, step runbooks.Step, here place, d Deps) error {
	step.ID = here.id(step.ID)
	planned := runbooks.PlannedStep{
		ID: step.ID, Phase: step.Phase, Each: here.each, When: here.when, Skipped: here.skipped, Action: step.Action, Effect: step.Effect, As: step.As, Preserve: append([]string{}, step.Preserve...),
		Undo: "none", Timeout: step.Timeout, Deadman: step.Deadman, WorstCase: step.WorstCase(),
	}
	switch {
	case planned.Skipped != "" || step.If == "":
	case here.scope.readsOutputs(step.If):
		planned.When = strings.TrimPrefix(planned.When+" && "+step.If, " && ")
	default:
		p.ask(ctx, step, here, &planned)
	}
	var change Change
	if planned.Skipped == "" {
		var err error
		if change, err = p.change(ctx, step, here.scope, d, &planned); err != nil {
			return fmt.Errorf("plan step %s: %w", step.ID, err)
		}
		if step.Deadman > 0 && d.Heard == nil {
			p.refuse("step %s may cut its own access, and only an agent that runs on %s itself could take it back", step.ID, p.plan.Target)
		}
		if a, asks := step.With.(runbooks.Approval); asks {
			p.plan.Ask(a)
		}
		for _, name := range step.Secrets {
			if err := d.hasSecret(ctx, name); err != nil {
				p.refuse("step %s takes %s%s: %v", step.ID, runbooks.SecretPrefix, name, err)
			}
		}
		planned.Effect = stronger(step.Effect, change.Effect)
		p.plan.Effect = stronger(p.plan.Effect, planned.Effect)
	}
	p.plan.Steps = append(p.plan.Steps, planned)
	p.changes = append(p.changes, stepChange{ID: step.ID, Skipped: planned.Skipped, Change: change})
	p.scopes[step.ID] = here.scope
	return nil
}

// ask plans whether a step applies.
func (p *prepared) ask(ctx context.Context, step runbooks.Step, here place, planned *runbooks.PlannedStep) {
	got := here.scope.ask(ctx, step.If)
	if got.Truth == expr.True {
		return
	}
	planned.Skipped = got.Text
	if got.Truth == expr.CannotTell {
		p.refuse("it cannot be told whether step %s applies (%s)", step.ID, got.Text)
	}
}

func (p *prepared) change(ctx context.Context, step runbooks.Step, s *scope, d Deps, planned *runbooks.PlannedStep) (Change, error) {
	action, err := d.action(step.Action)
	if err != nil {
		return Change{}, err
	}
	planning := d
	planning.Secrets = nil // a plan shows the reference alone
	change, err := action.Plan(ctx, s.env(step, s.runner, planning))
	if err != nil {
		return Change{}, err
	}
	if len(change.Parts) > runbooks.MaxParts {
		return Change{}, fault.New(fault.TooLarge, "action %s would change %d parts at once, more than %d", step.Action, len(change.Parts), runbooks.MaxParts)
	}
	planned.Argv, planned.Diff, planned.Noop, planned.Parts = change.Argv, change.Diff, change.Noop, change.Parts
	p.gate(ctx, "step "+step.ID, change.Argv, d.Gate)
	if planned.Touches, err = s.touches(ctx, step, change); err != nil {
		return Change{}, err
	}
	planned.Verify = verifyInWords(step.Verify, change, d.MaxHold)
	switch undoer, own := action.(Undoer); {
	case len(step.Undo.Run) > 0:
		argv, err := s.renderList(ctx, step.Undo.Run)
		if err != nil {
			return Change{}, fmt.Errorf("undo: %w", err)
		}
		p.gate(ctx, "the undo of step "+step.ID, argv, d.Gate)
		planned.Undo = fmt.Sprintf("run %q", argv)
	case step.Undo.Own && own && undoer.CanUndo(change) == "":
		planned.Undo = change.Undo
	case step.Undo.Own && own:
		planned.Undo = "none: " + undoer.CanUndo(change)
	}
	return change, nil
}

// gate refuses the plan over a command that would be refused when it is to run.
func (p *prepared) gate(ctx context.Context, what string, argv []string, gate remote.Gate) {
	if gate == nil || len(argv) == 0 {
		return
	}
	if err := gate.Allow(ctx, p.plan.Target, remote.Command{Argv: argv, Effect: remote.Write}); err != nil {
		p.refuse("%s would be refused: %v", what, err)
	}
}

// touches is what the action says that it may change, and what the runbook says
// of the rest.
func (s *scope) touches(ctx context.Context, step runbooks.Step, change Change) ([]runbooks.Touch, error) {
	if change.Noop {
		return nil, nil
	}
	all := slices.Clone(change.Touches)
	for _, t := range step.Touches {
		name, err := s.render(ctx, t.Name)
		if err != nil {
			return nil, fmt.Errorf("touches: %w", err)
		}
		all = append(all, runbooks.Touch{Kind: t.Kind, Name: name})
	}
	if len(all) > runbooks.MaxTouches {
		return nil, fault.New(fault.TooLarge, "it would touch %d things, more than %d", len(all), runbooks.MaxTouches)
	}
	for _, t := range all {
		if err := t.Validate(); err != nil {
			return nil, fault.New(fault.Invalid, "touches: %v", err)
		}
	}
	return all, nil
}

func (s *scope) env(step runbooks.Step, r remote.Runner, d Deps) *Env {
	inputs, _ := s.vars[runbooks.VarInputs].(map[string]any)
	return &Env{
		Runner: r, Step: step, Inputs: inputs, Vars: s.templateVars(), Now: d.Now,
		CleanupRoots: d.CleanupRoots, ManagedFiles: d.ManagedFiles, Budgets: s.budgets, secrets: d.Secrets, scope: s,
	}
}

func verifyInWords(v runbooks.Verify, change Change, maxHold time.Duration) string {
	text := change.Verify
	switch {
	case text == "":
		text = v.That
	case v.That != "":
		text += ", and " + v.That
	}
	if text == "" {
		return ""
	}
	text += fmt.Sprintf(", within %s", v.Within)
	if v.Hold > 0 {
		text += fmt.Sprintf(", and then for %s", v.Hold)
	}
	if maxHold > 0 && v.Hold > maxHold {
		text += fmt.Sprintf(" (shortened to %s by policy)", maxHold)
	}
	return text
}

// stronger returns the effect that asks for more care; a change that says
// nothing of its own has that of its step.
func stronger(a, b runbooks.Effect) runbooks.Effect {
	rank := func(e runbooks.Effect) int {
		switch e {
		case "", runbooks.Read:
			return 0
		case runbooks.Write:
			return 1
		case runbooks.Irreversible:
			return 2
		}
		return 2
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// readOnly is a Runner that refuses every command which may change something,
// so that planning and measuring cannot.
type readOnly struct{ remote.Runner }

// Run implements remote.Runner.
func (r readOnly) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if cmd.Effect != remote.Read {
		return remote.Result{}, &remote.Error{
			Class: remote.NotPermitted, Target: r.Target(), Doing: "plan",
			Err: fault.New(fault.Denied, "a command that may write was refused while only reading"),
		}
	}
	return r.Runner.Run(ctx, cmd)
}

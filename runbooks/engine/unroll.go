package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// A plan knows every step that a run may do: each foreach is unrolled into one
// step for each element, and of each choose the branch is taken that holds now.
// What depends on what a step will find out is planned for both ways and says so.

// place is where in the flow a step stands.
type place struct {
	rb      *runbooks.Runbook
	scope   *scope // of rb; of a runbook that is called by a step which is skipped, that of its caller
	prefix  string // of the ids: "call/" inside a runbook that is called
	suffix  string // of the ids: ".2" for the second element
	each    string // in words
	skipped string // why nothing here is done: a branch that is not taken
	when    string // the condition that is decided on the way
}

// id is that of a step or block here.
func (at place) id(id string) string { return at.prefix + id + at.suffix }

func onFailureOf(rb *runbooks.Runbook) []runbooks.Block { return rb.OnFailure }
func alwaysOf(rb *runbooks.Runbook) []runbooks.Block    { return rb.Always }

// blocks plans blocks, and returns the runbooks that were called on the way.
func (p *prepared) blocks(ctx context.Context, blocks []runbooks.Block, at place, d Deps) ([]place, error) {
	var calls []place
	for _, b := range blocks {
		more, err := p.block(ctx, b, at, d)
		if err != nil {
			return nil, err
		}
		calls = append(calls, more...)
	}
	return calls, nil
}

func (p *prepared) block(ctx context.Context, b runbooks.Block, at place, d Deps) ([]place, error) {
	switch {
	case b.Call != nil:
		return p.call(ctx, b, at, d)
	case b.Foreach != nil:
		return nil, p.foreach(ctx, b, at, d)
	case len(b.Choose) > 0:
		return nil, p.choose(ctx, b, at, d)
	case len(b.Parallel) > 0:
		for _, branch := range b.Parallel {
			if _, err := p.blocks(ctx, branch.Blocks, at, d); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	if len(p.changes) >= runbooks.MaxInstances {
		return nil, fault.New(fault.TooLarge, "the run would have more than %d steps", runbooks.MaxInstances)
	}
	return nil, p.step(ctx, at.rb.Steps[b.Step], at, d)
}

// call plans the steps of a runbook that is called.
func (p *prepared) call(ctx context.Context, b runbooks.Block, at place, d Deps) ([]place, error) {
	here, err := at.called(ctx, b, p.binding, d)
	if err == nil && here.skipped == "" {
		err = p.begin(ctx, here)
	}
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", at.id(b.ID), err)
	}
	calls, err := p.blocks(ctx, b.Call.Runbook.Flow, here, d)
	return append([]place{here}, calls...), err
}

// called is the place inside a runbook that is called. It has inputs, readings
// and outputs of its own.
func (at place) called(ctx context.Context, b runbooks.Block, binding Binding, d Deps) (place, error) {
	here := at
	here.rb, here.prefix, here.suffix = b.Call.Runbook, at.id(b.ID)+"/", ""
	if here.skipped != "" {
		return here, nil
	}
	binding.Runbook, binding.Given = here.rb, map[string]string{}
	for name, template := range b.Call.With {
		text, err := at.scope.render(ctx, template)
		if err != nil {
			return here, fmt.Errorf("input %s: %w", name, err)
		}
		binding.Given[name] = text
	}
	values, _, err := runbooks.BindInputs(here.rb, binding.Given, binding.vars())
	if err != nil {
		return here, err
	}
	here.scope, err = newScope(at.scope.runner, binding, d, values, at.scope.shared)
	return here, err
}

// choose plans the branch that holds. Once a condition is left to the way, so
// are all behind it.
func (p *prepared) choose(ctx context.Context, b runbooks.Block, at place, d Deps) error {
	taken, open, name := "", "", at.id(b.ID)
	for i, branch := range b.Choose {
		here := at
		switch {
		case here.skipped != "":
		case taken != "":
			here.skipped = "another branch is taken: " + taken
		default:
			taken, open = p.branch(ctx, branch, &here, open)
		}
		if here.skipped == "" {
			p.branches[name] = append(p.branches[name], i)
		}
		if _, err := p.blocks(ctx, branch.Blocks, here, d); err != nil {
			return fmt.Errorf("branch %d of %s: %w", i+1, b.ID, err)
		}
	}
	return nil
}

// branch decides about one branch and says so in here. It returns in words why
// it is taken, "" when it is not, and which condition is left open.
func (p *prepared) branch(ctx context.Context, branch runbooks.Branch, here *place, open string) (taken, stillOpen string) {
	got := Reading{Truth: expr.True, Text: "no other branch holds"}
	if branch.If != "" {
		got = here.scope.ask(ctx, branch.If)
	}
	switch {
	case branch.If != "" && here.scope.readsOutputs(branch.If):
		here.when = branch.If
		return "", branch.If
	case got.Truth == expr.True && open != "":
		here.when = "no branch before it holds"
		return "", open
	case got.Truth == expr.True:
		return got.Text, ""
	case got.Truth == expr.CannotTell:
		p.refuse("it cannot be told which way to go (%s)", got.Text)
	}
	here.skipped = got.Text
	return "", open
}

// foreach does its blocks once for each element, in the order of the list. The
// elements are written down, so that a run that goes on after a crash has the
// same.
func (p *prepared) foreach(ctx context.Context, b runbooks.Block, at place, d Deps) error {
	f := b.Foreach
	if at.skipped != "" {
		_, err := p.blocks(ctx, f.Blocks, at, d)
		return err
	}
	texts, err := at.scope.elements(ctx, f)
	if err != nil {
		return fmt.Errorf("foreach %s: %w", b.ID, err)
	}
	p.lists[at.id(b.ID)] = texts
	for i, text := range texts {
		here, err := at.element(f, i, text)
		if err != nil {
			return fmt.Errorf("foreach %s: %w", b.ID, err)
		}
		if _, err := p.blocks(ctx, f.Blocks, here, d); err != nil {
			return err
		}
	}
	return nil
}

// element is the place inside a foreach for element i.
func (at place) element(f *runbooks.Foreach, i int, text string) (place, error) {
	value, err := runbooks.ParseElement(f.Type, text)
	if err != nil {
		return at, fault.New(fault.Invalid, "element %d %v", i+1, err)
	}
	here := at
	here.suffix += "." + strconv.Itoa(i+1)
	if here.each != "" {
		here.each += ", "
	}
	here.each += f.As + " = " + strconv.Quote(text)
	here.scope, err = at.scope.inside(runbooks.Each{As: f.As, Type: f.Type}, value)
	return here, err
}

// elements are those of a foreach, as text. An element that comes twice is done
// once.
func (s *scope) elements(ctx context.Context, f *runbooks.Foreach) ([]string, error) {
	value, err := s.value(ctx, f.In, expr.List)
	if err != nil {
		return nil, err
	}
	list, ok := value.([]any)
	if !ok {
		return nil, fault.New(fault.Invalid, "%s is no list", f.In)
	}
	texts, seen := []string{}, map[string]bool{}
	for _, item := range list {
		text, err := runbooks.ElementText(f.Type, item)
		if err != nil {
			return nil, fault.New(fault.Invalid, "an element %v", err)
		}
		if !seen[text] {
			seen[text] = true
			texts = append(texts, text)
		}
	}
	if len(texts) > f.Max {
		return nil, fault.New(fault.TooLarge, "there are %d elements, more than max: %d", len(texts), f.Max)
	}
	return texts, nil
}

// inside returns the scope inside a foreach, for one of its elements.
func (s *scope) inside(e runbooks.Each, value any) (*scope, error) {
	c := *s
	c.each = append(slices.Clone(s.each), e)
	c.vars = maps.Clone(s.vars)
	elements, _ := s.vars[runbooks.VarEach].(map[string]any)
	elements = maps.Clone(elements)
	if elements == nil {
		elements = map[string]any{}
	}
	elements[e.As] = value
	c.vars[runbooks.VarEach] = elements
	var err error
	c.envs, err = s.shared.environments(s.rb, s.specs, c.each)
	return &c, err
}

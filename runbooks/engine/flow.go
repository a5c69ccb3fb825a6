package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// node is a part of the flow on its way.
type node interface {
	// carry brings it to its end, from wherever it is. An error is one of the
	// journal's.
	carry(ctx context.Context) (ending, error)
	// each calls for every step below, in the order of the plan.
	each(do func(*stepRun))
}

// sequence is one after the other.
type sequence []node

func (s sequence) carry(ctx context.Context) (ending, error) {
	for _, n := range s {
		if end, err := n.carry(ctx); err != nil || end != goOn {
			return end, err
		}
	}
	return goOn, nil
}

func (s sequence) each(do func(*stepRun)) {
	for _, n := range s {
		n.each(do)
	}
}

// concurrent is several at the same time, atOnce of them. When one of them does
// not go on, no other begins a step; those that act are waited for.
type concurrent struct {
	nodes  []node
	atOnce int
}

func (c concurrent) each(do func(*stepRun)) { sequence(c.nodes).each(do) }

var errBeside = errors.New("a step beside it did not go on")

func (c concurrent) carry(ctx context.Context) (ending, error) {
	within, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wait sync.WaitGroup
	var mu sync.Mutex
	worst, free := goOn, make(chan struct{}, c.atOnce)
	errs := []error{}
	var panicked any // told on the goroutine of the run, which knows what to do
	for _, n := range c.nodes {
		free <- struct{}{}
		wait.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					stop(errBeside)
					mu.Lock()
					defer mu.Unlock()
					panicked = r
				}
				<-free
			}()
			end, err := n.carry(within)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			if end.graver(worst) {
				worst = end
			}
			if err != nil || end != goOn {
				stop(errBeside)
			}
		})
	}
	wait.Wait()
	if panicked != nil {
		panic(panicked)
	}
	return worst, errors.Join(errs...)
}

// choice takes one of several branches. Which one is written down: what its
// steps do may change the condition.
type choice struct {
	run      *run
	id       string
	scope    *scope
	branches []runbooks.Branch
	planned  []int // that may be taken
	nodes    []node
	decided  *decidedRecord
}

func (c *choice) each(do func(*stepRun)) { sequence(c.nodes).each(do) }

func (c *choice) carry(ctx context.Context) (ending, error) {
	if c.decided == nil {
		if context.Cause(ctx) != nil {
			return c.run.fail(stopped, fmt.Sprintf("stopped before %s: %v", c.id, context.Cause(ctx))), nil //nolint:nilerr // the context is why it stops, and no error of the journal
		}
		branch, end := c.decide(ctx)
		if end != goOn {
			return end, nil
		}
		if err := c.run.append(ctx, c.id, 0, RecordDecided, branch); err != nil {
			return "", err
		}
		c.decided = &branch
	}
	for i, n := range c.nodes {
		if i != c.decided.Branch-1 {
			n.each(func(s *stepRun) { s.enter(runbooks.StepSkipped, "another branch was taken") })
		}
	}
	if c.decided.Branch == 0 {
		return goOn, nil
	}
	return c.nodes[c.decided.Branch-1].carry(ctx)
}

// decide asks the branches in order. One that was not to be taken when the plan
// was approved is never taken.
func (c *choice) decide(ctx context.Context) (decidedRecord, ending) {
	for i, branch := range c.branches {
		got := Reading{Truth: expr.True}
		if branch.If != "" {
			got = c.scope.ask(ctx, branch.If)
		}
		switch got.Truth {
		case expr.False:
			continue
		case expr.CannotTell:
			return decidedRecord{}, c.run.fail(refused, fmt.Sprintf("it cannot be told which way %s goes: %s", c.id, got.Text))
		case expr.True:
		}
		if !slices.Contains(c.planned, i) {
			return decidedRecord{}, c.run.fail(refused, fmt.Sprintf("%s would take another branch than the approved plan: %s", c.id, got.Text))
		}
		return decidedRecord{Branch: i + 1}, goOn
	}
	return decidedRecord{}, goOn
}

// called is a runbook that is called, with its steps.
type called struct {
	at   place
	main sequence
}

// following is what a called runbook has in on_failure or always. It follows only
// when one of its own steps had its turn.
type following struct {
	run    *run
	called called
	nodes  sequence
}

func (f following) each(do func(*stepRun)) { f.nodes.each(do) }

func (f following) carry(ctx context.Context) (ending, error) {
	begun := false
	f.called.main.each(func(s *stepRun) { begun = begun || s.result.Status != runbooks.StepPlanned })
	if !begun {
		f.each(func(s *stepRun) {
			s.enter(runbooks.StepSkipped, "runbook "+f.called.at.rb.Name+" was not begun")
		})
		return goOn, nil
	}
	return f.nodes.carry(ctx)
}

// growPhase makes the nodes of on_failure or always, with those of all that was
// called.
func (x *run) growPhase(ctx context.Context, of func(*runbooks.Runbook) []runbooks.Block, top place, past map[string]*history) (sequence, error) {
	phase, err := x.grow(ctx, of(top.rb), top, past)
	if err != nil {
		return nil, err
	}
	for _, c := range x.calls {
		nodes, err := x.grow(ctx, of(c.at.rb), c.at, past)
		if err != nil {
			return nil, err
		}
		if len(nodes) > 0 {
			phase = append(phase, following{x, c, nodes})
		}
	}
	return phase, nil
}

func (x *run) growCall(ctx context.Context, b runbooks.Block, at place, past map[string]*history) (node, error) {
	here, err := at.called(ctx, b, x.b, x.d)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", at.id(b.ID), err)
	}
	i := len(x.calls)
	x.calls = append(x.calls, called{at: here})
	nodes, err := x.grow(ctx, here.rb.Flow, here, past)
	x.calls[i].main = nodes
	return nodes, err
}

// grow makes the nodes of blocks.
func (x *run) grow(ctx context.Context, blocks []runbooks.Block, at place, past map[string]*history) (sequence, error) {
	out := sequence{}
	for _, b := range blocks {
		n, err := x.growOne(ctx, b, at, past)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func (x *run) growOne(ctx context.Context, b runbooks.Block, at place, past map[string]*history) (node, error) {
	switch {
	case b.Call != nil:
		return x.growCall(ctx, b, at, past)
	case b.Foreach != nil:
		return x.growForeach(ctx, b, at, past)
	case len(b.Choose) > 0:
		planned := x.plan.Branches[at.id(b.ID)]
		nodes, err := x.growBranches(ctx, b.Choose, at, past, func(i int) bool { return slices.Contains(planned, i) })
		c := &choice{run: x, id: at.id(b.ID), scope: at.scope, branches: b.Choose, planned: planned, nodes: nodes}
		if h := past[c.id]; h != nil {
			c.decided = h.decided
		}
		if c.decided != nil && c.decided.Branch > len(nodes) {
			return nil, fault.New(fault.Internal, "the journal knows a branch %d of %s", c.decided.Branch, c.id)
		}
		return c, err
	case len(b.Parallel) > 0:
		nodes, err := x.growBranches(ctx, b.Parallel, at, past, func(int) bool { return true })
		return concurrent{nodes, len(nodes)}, err
	}
	step := at.rb.Steps[b.Step]
	step.ID = at.id(step.ID)
	return x.growStep(step, at, past[step.ID])
}

func (x *run) growStep(step runbooks.Step, at place, past *history) (node, error) {
	change, ok := x.changes[step.ID]
	if !ok {
		return nil, fault.New(fault.Internal, "the journal does not know step %s", step.ID)
	}
	action, err := x.d.action(step.Action)
	if err != nil {
		return nil, err
	}
	s := newStepRun(x, step, action, change, at)
	s.restore(past)
	x.steps = append(x.steps, s)
	return s, nil
}

func (x *run) growBranches(ctx context.Context, branches []runbooks.Branch, at place, past map[string]*history, taken func(int) bool) ([]node, error) {
	nodes := []node{}
	for i, branch := range branches {
		here := at
		if !taken(i) {
			here.skipped = "the branch is not taken"
		}
		n, err := x.grow(ctx, branch.Blocks, here, past)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// growForeach does what foreach of prepared does, with the elements that were
// written down. A block whose elements nobody looked at is in a branch that is
// not taken.
func (x *run) growForeach(ctx context.Context, b runbooks.Block, at place, past map[string]*history) (node, error) {
	f := b.Foreach
	texts, known := x.lists[at.id(b.ID)]
	if !known {
		return x.grow(ctx, f.Blocks, at, past)
	}
	nodes := []node{}
	for i, text := range texts {
		here, err := at.element(f, i, text)
		if err != nil {
			return nil, fmt.Errorf("element %s of %s: %w", strconv.Quote(text), b.ID, err)
		}
		n, err := x.grow(ctx, f.Blocks, here, past)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	if f.AtOnce == 1 {
		return sequence(nodes), nil
	}
	return concurrent{nodes, f.AtOnce}, nil
}

// graver reports whether e says more than other about how the run ends.
func (e ending) graver(other ending) bool {
	order := []ending{goOn, stopped, late, handedOver, refused, refuted, unknown}
	return slices.Index(order, e) > slices.Index(order, other)
}

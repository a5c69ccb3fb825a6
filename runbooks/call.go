package runbooks

import (
	"slices"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// Call is a block that does what another runbook says, with inputs of its own.
// The runbook is pinned by its digest, so that what was reviewed with the caller
// is what is done.
type Call struct {
	Runbook *Runbook
	With    map[string]string // inputs of the runbook, values with ${...} over what the caller's templates read
}

// Shelf is a set of runbooks by their names, for ParseOptions.Called.
type Shelf map[string]*Runbook

// Find returns the runbook of the name.
func (s Shelf) Find(name string) (*Runbook, bool) {
	rb, ok := s[name]
	return rb, ok
}

// Put adds runbooks.
func (s Shelf) Put(list ...*Runbook) {
	for _, rb := range list {
		s[rb.Name] = rb
	}
}

// Called returns the runbooks that this one calls, and those that they call:
// each once, and none before those that it calls itself.
func (rb *Runbook) Called() []*Runbook { return slices.Clone(rb.called) }

// calls adds a call to what the runbook is made of. A chain of runbooks that
// each call another twice would double with every link.
func (p *parser) calls(n *yamlx.Node, called *Runbook) {
	for _, one := range append(called.Called(), called) {
		if !slices.ContainsFunc(p.rb.called, func(known *Runbook) bool { return known.Digest == one.Digest }) {
			p.rb.called = append(p.rb.called, one)
		}
	}
	if p.rb.size += called.size; p.rb.size > MaxInstances {
		p.fail(n, RuleBounded, "with the steps of what it calls the runbook has more than %d", MaxInstances)
	}
}

// call reads a call. What it calls is known, unchanged since it was pinned, and
// allowed to do all that the caller may.
func (p *parser) call(n *yamlx.Node) *Call {
	var raw struct {
		Name   *yamlx.Node `yaml:"name,required"`
		Digest *yamlx.Node `yaml:"digest"`
		With   *yamlx.Node `yaml:"with"`
	}
	if !p.decode(n, &raw, words{}) {
		return nil
	}
	name, _ := raw.Name.Scalar()
	called, known := p.o.called(name)
	if !known {
		p.add(raw.Name.Errorf("there is no runbook %q to call", name).WithRule(RuleTargets).
			WithHint("a runbook calls those that are shipped and those that are read with it: give its folder too"))
		return nil
	}
	if digest, _ := scalarOf(raw.Digest); digest != called.Digest {
		where, was := raw.Digest, "has changed since it was pinned"
		if where == nil {
			where, was = n, "is not pinned by its digest"
		}
		p.add(where.Errorf("runbook %s %s", name, was).WithRule(RuleTargets).
			WithHint("read it, and if it does what you want write digest: %s", called.Digest))
		return nil
	}
	p.mayCall(n, called)
	p.calls(n, called)
	return &Call{Runbook: called, With: p.callInputs(raw.With, n, called)}
}

func (o ParseOptions) called(name string) (*Runbook, bool) {
	if o.Called == nil {
		return nil, false
	}
	return o.Called(name)
}

func scalarOf(n *yamlx.Node) (string, bool) {
	if n == nil {
		return "", false
	}
	return n.Scalar()
}

// mayCall checks what the caller promises against what the called one does.
func (p *parser) mayCall(n *yamlx.Node, called *Runbook) {
	if p.phase != PhaseMain {
		p.fail(n, RuleForm, "only the steps may call a runbook, not %s", p.phase)
	}
	if len(called.OnFailure)+len(called.Always) > 0 && p.nesting > 1 {
		p.fail(n, RuleForm, "runbook %s has on_failure or always, so that it cannot be called from inside another block", called.Name)
	}
	for _, rb := range append(called.Called(), called) {
		for _, deed := range rb.Deeds {
			if !p.allowed(n, deed) {
				return
			}
		}
	}
}

// callInputs reads the inputs of a called runbook, which are checked like those
// that a person gives.
func (p *parser) callInputs(n, call *yamlx.Node, called *Runbook) map[string]string {
	out := map[string]string{}
	var given []string
	if n != nil {
		if n.Kind() != yamlx.Mapping {
			p.fail(n, RuleForm, "with is a mapping of the inputs of %s to their values", called.Name)
			return nil
		}
		given = n.Keys()
	}
	for _, key := range given {
		if text, ok := p.callInput(at(n, key), n, key, called); ok {
			out[key] = text
		}
	}
	for _, in := range called.Inputs {
		if in.Required && in.From == "" && !slices.Contains(given, in.Name) {
			p.fail(call, RuleInputs, "runbook %s needs its input %s", called.Name, in.Name)
		}
	}
	return out
}

func (p *parser) callInput(value, with *yamlx.Node, name string, called *Runbook) (string, bool) {
	i := slices.IndexFunc(called.Inputs, func(in Input) bool { return in.Name == name })
	if i < 0 {
		key, _ := with.Key(name)
		known := []string{}
		for _, in := range called.Inputs {
			known = append(known, in.Name)
		}
		p.unknown(key, RuleInputs, "input of "+called.Name, name, known)
		return "", false
	}
	in := called.Inputs[i]
	if in.Type.List() {
		p.fail(value, RuleInputs, "input %s is of type %s, which only the inventory gives", name, in.Type)
		return "", false
	}
	text, ok := p.template(value)
	if !ok || !p.noSecrets(value) {
		return "", false
	}
	env, err := p.env(ScopeTemplate)
	if err != nil {
		return "", false // p.template has said it
	}
	if t, err := env.CompileTemplate(text); err == nil {
		if constant, ok := t.Constant(); ok {
			if _, err := checked(in, constant); err != nil {
				p.fail(value, RuleInputs, "input %s %v", name, err)
				return "", false
			}
		}
	}
	return text, true
}

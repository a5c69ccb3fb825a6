package runbooks

import (
	"errors"
	"slices"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// env returns the environment of a scope, made once for the names that are
// known so far.
func (p *parser) env(scope Scope) (*expr.Env, error) {
	if env, ok := p.envs[scope]; ok {
		return env, nil
	}
	env, err := newEnv(p.o.Language, scope, readable{inputs: p.rb.Inputs, anyOf: p.leftOut, probes: p.probes, outputs: p.outputs, each: p.each})
	if err == nil {
		p.envs[scope] = env
	}
	return env, err
}

// forgetConditions is called when conditions can read other names than before.
func (p *parser) forgetConditions() {
	delete(p.envs, ScopeCondition)
	delete(p.envs, ScopeOutcome)
}

// condition checks an expression that is true, false or cannot tell.
func (p *parser) condition(n *yamlx.Node, scope Scope) (string, bool) {
	_, ok := p.compile(n, scope, expr.Bool)
	text, _ := n.Scalar()
	return text, ok
}

// conditionOnProbes checks a condition of the step's outcome, which must
// measure something: an expression without a probe is true whatever happened.
func (p *parser) conditionOnProbes(n *yamlx.Node, rule string) string {
	program, ok := p.compile(n, ScopeOutcome, expr.Bool)
	if !ok {
		return ""
	}
	text, _ := n.Scalar()
	for _, f := range p.probes {
		if slices.Contains(program.Vars(), f.Name) {
			return text
		}
	}
	p.fail(n, rule, "%s reads no probe, so it measures nothing", text)
	return text
}

func (p *parser) compile(n *yamlx.Node, scope Scope, want expr.Type) (*expr.Program, bool) {
	text, ok := n.Scalar()
	if !ok || text == "" {
		p.fail(n, RuleExpression, "an expression is expected")
		return nil, false
	}
	program, err := p.compileIn(scope, text, want)
	if err != nil {
		p.add(p.unreadable(n, scope, err))
		return nil, false
	}
	return program, true
}

// compileIn compiles a condition in the scope of outcomes, which reads the step
// besides: what most conditions read is the same, and environments take long to
// make. Only for what is wrong there, or reads the step, the condition's own is made.
func (p *parser) compileIn(scope Scope, text string, want expr.Type) (*expr.Program, error) {
	if scope == ScopeCondition {
		env, err := p.env(ScopeOutcome)
		if err != nil {
			return nil, err
		}
		program, err := env.Compile(text, want)
		if err == nil && !slices.Contains(program.Vars(), VarStep) {
			return program, nil
		}
	}
	env, err := p.env(scope)
	if err != nil {
		return nil, err
	}
	return env.Compile(text, want)
}

// template checks text with ${...} in it. Only a list input that stands alone
// may give something else than text.
func (p *parser) template(n *yamlx.Node) (string, bool) {
	text, ok := n.Scalar()
	if !ok {
		p.fail(n, RuleExpression, "a value is expected")
		return "", false
	}
	env, err := p.env(ScopeTemplate)
	if err != nil {
		p.fail(n, RuleExpression, "%v", err)
		return "", false
	}
	checked := text
	if _, list := (&StepContext{Inputs: p.rb.Inputs}).ListInput(text); !list {
		checked += " " // an expression that is the whole template may give anything, one that is a part must give text
	}
	if _, err := env.CompileTemplate(checked); err != nil {
		p.add(p.unreadable(n, ScopeTemplate, err))
		return "", false
	}
	return text, true
}

// templates checks every scalar of an action's part, but those under the keys
// that the action takes as they are.
func (p *parser) templates(n *yamlx.Node, verbatim ...string) bool {
	if n.Kind() == yamlx.Scalar {
		_, ok := p.template(n)
		return ok
	}
	good := true
	for _, item := range n.Items() {
		good = p.templates(item) && good
	}
	for _, key := range n.Keys() {
		if !slices.Contains(verbatim, key) {
			good = p.templates(at(n, key)) && good
		}
	}
	return good
}

// unreadable is expressionError; of a name that expressions read in other places
// it says where.
func (p *parser) unreadable(n *yamlx.Node, scope Scope, err error) *yamlx.Error {
	out := expressionError(n, err)
	e, ok := errors.AsType[*expr.Error](err)
	if !ok {
		return out
	}
	isProbe := slices.ContainsFunc(p.probes, func(f expr.Field) bool { return f.Name == e.Unknown })
	switch {
	case e.Unknown == VarHypothesis:
		out.Hint = "what a diagnosis says comes in through a typed input: inputs: {mount: {type: path, from: hypothesis.object.mount}}"
	case e.Unknown == VarStep:
		out.Hint = "only verify and repeat read step"
	case e.Unknown == VarEach:
		out.Hint = "only steps inside a foreach read each"
	case e.Unknown == VarOutputs && scope == ScopeCondition:
		out.Hint = "no step before this one has outputs"
	case scope == ScopeTemplate && (isProbe || e.Unknown == VarOutputs):
		out.Hint = "what is done is planned before, so templates read inputs, entity and target; conditions (require, if, verify) read probes and outputs"
	}
	return out
}

// expressionError gives an error of internal/expr its place inside n.
func expressionError(n *yamlx.Node, err error) *yamlx.Error {
	if e, ok := errors.AsType[*expr.Error](err); ok {
		out := n.ErrorWithin(e.Line, e.Column, e.Message).WithRule(RuleExpression)
		out.Hint = e.Hint
		return out
	}
	return n.Errorf("%v", err).WithRule(RuleExpression)
}

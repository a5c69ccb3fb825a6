package runbooks

import (
	"slices"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

type rawInput struct {
	Type        *yamlx.Node `yaml:"type,required"`
	From        *yamlx.Node `yaml:"from"`
	Default     *yamlx.Node `yaml:"default"`
	Max         *yamlx.Node `yaml:"max"`
	Pattern     *yamlx.Node `yaml:"pattern"`
	Choices     *yamlx.Node `yaml:"choices"`
	Description string      `yaml:"description"`
}

// inputs reads the inputs in the order of the file, because the from of one
// may read those before it.
func (p *parser) inputs(n *yamlx.Node) {
	if n == nil {
		return
	}
	if n.Kind() != yamlx.Mapping {
		p.fail(n, RuleForm, "inputs is a mapping of names to types")
		return
	}
	p.tooMany(n, "inputs", len(n.Keys()), maxEntries)
	for _, name := range n.Keys() {
		key, _ := n.Key(name)
		if !isName(name) {
			p.fail(key, RuleForm, "input name %q is not made of lower-case letters, digits and underscores", name)
		} else {
			p.input(name, at(n, name))
		}
		if !slices.ContainsFunc(p.rb.Inputs, func(in Input) bool { return in.Name == name }) {
			p.leftOut = true
			clear(p.envs)
		}
	}
}

func (p *parser) input(name string, n *yamlx.Node) {
	var raw rawInput
	if !p.decode(n, &raw, words{later: []string{"secret", "values", "min"}}) || !p.noSecrets(raw.Default) || !p.noSecrets(raw.Choices) {
		return
	}
	types := InputTypes()
	text, _ := raw.Type.Scalar()
	if !slices.Contains(types, InputType(text)) {
		known := make([]string, 0, len(types))
		for _, t := range types {
			known = append(known, string(t))
		}
		p.unknown(raw.Type, RuleInputs, "input type", text, known)
		return
	}
	in := Input{Name: name, Type: InputType(text), Description: raw.Description, Required: raw.Default == nil}
	if raw.From != nil && raw.Default != nil {
		p.fail(raw.Default, RuleInputs, "input %q has from and default; a default would stand in for what could not be told", name)
	}
	if in.Type.List() && raw.From == nil {
		p.fail(n, RuleInputs, "input %q of type %s needs from: only the inventory gives it", name, in.Type)
	}
	p.inputBounds(&in, raw)
	p.inputDefault(&in, raw)
	if raw.From != nil {
		in.From, _ = raw.From.Scalar()
		p.compile(raw.From, ScopeFrom, in.Type.exprType())
	}
	p.rb.Inputs = append(p.rb.Inputs, in)
	clear(p.envs) // they know the inputs so far
}

// inputBounds reads what narrows the values of the type. A bound with a mistake
// is left out, so that what stands beside it is still checked.
func (p *parser) inputBounds(in *Input, raw rawInput) {
	if raw.Max != nil {
		in.Max, _ = raw.Max.Scalar()
		limit, err := parseValue(in.Type, in.Max)
		if err == nil {
			err = checkMax(*in, limit) // refuses types that have none
		}
		if err != nil {
			p.fail(raw.Max, RuleInputs, "max of input %q %v", in.Name, err)
			in.Max = ""
		}
	}
	if raw.Pattern != nil {
		in.Pattern, _ = raw.Pattern.Scalar()
		if err := checkInputPattern(*in); err != nil {
			p.fail(raw.Pattern, RuleInputs, "pattern of input %q %v", in.Name, err)
			in.Pattern = ""
		}
	}
	if raw.Choices != nil {
		p.inputChoices(in, raw.Choices)
	}
}

// inputChoices reads a list of values, or the expression that gives it.
func (p *parser) inputChoices(in *Input, n *yamlx.Node) {
	if in.Type.List() || in.Type == InputBool {
		p.fail(n, RuleInputs, "input %q is of type %s, which has no choices", in.Name, in.Type)
		return
	}
	if n.Kind() != yamlx.List {
		in.ChoicesFrom, _ = n.Scalar()
		p.compile(n, ScopeFrom, expr.List)
		return
	}
	if items := n.Items(); len(items) == 0 || len(items) > maxEntries {
		p.fail(n, RuleInputs, "choices of input %q are 1 to %d values, or the expression that gives them", in.Name, maxEntries)
	}
	var choices []string // the values so far do not bound those behind them
	for _, item := range n.Items() {
		text, _ := item.Scalar()
		value, err := checked(*in, text)
		switch {
		case err != nil:
			p.fail(item, RuleInputs, "choice of input %q %v", in.Name, err)
		case slices.Contains(choices, showValue(value)):
			p.fail(item, RuleInputs, "choice of input %q is there twice: %s", in.Name, showValue(value))
		default:
			choices = append(choices, showValue(value))
		}
	}
	in.Choices = choices
}

// inputDefault checks the default against the type and its bounds. What an
// expression gives is known only where the input is bound.
func (p *parser) inputDefault(in *Input, raw rawInput) {
	if raw.Default == nil || in.Type.List() {
		return
	}
	in.Default, _ = raw.Default.Scalar()
	if _, err := checked(*in, in.Default); err != nil {
		p.fail(raw.Default, RuleInputs, "default of input %q %v", in.Name, err)
	}
}

type rawProbe struct {
	Probe *yamlx.Node `yaml:"probe,required"`
	With  *yamlx.Node `yaml:"with"`
}

func (p *parser) probeUses(n *yamlx.Node) {
	if n == nil {
		return
	}
	if n.Kind() != yamlx.Mapping {
		p.fail(n, RuleForm, "probes is a mapping of local names to probes")
		return
	}
	p.tooMany(n, "probes", len(n.Keys()), maxEntries)
	for _, name := range n.Keys() {
		key, _ := n.Key(name)
		switch {
		case !isName(name):
			p.fail(key, RuleForm, "probe name %q is not made of lower-case letters, digits and underscores", name)
		case slices.Contains([]string{VarInputs, VarHypothesis, VarEntity, VarTarget, VarStep, VarEach, VarOutputs, VarResult}, name):
			p.fail(key, RuleForm, "probe name %q is taken: expressions read something else under it", name)
		default:
			p.probeUse(name, at(n, name))
		}
	}
}

func (p *parser) probeUse(name string, n *yamlx.Node) {
	var raw rawProbe
	if !p.decode(n, &raw, words{}) {
		p.probes = append(p.probes, expr.Field{Name: name, Type: expr.Object}) // with any fields: its mistake is told once
		return
	}
	probe, _ := raw.Probe.Scalar()
	takes, yields, ok := p.o.Probes.Fields(probe)
	if !ok {
		p.unknown(raw.Probe, RuleExpression, "probe", probe, p.o.Probes.Names())
		p.probes = append(p.probes, expr.Field{Name: name, Type: expr.Object})
		return
	}
	use := ProbeUse{Name: name, Probe: probe, With: map[string]string{}}
	with := raw.With
	if with == nil {
		with = n
	} else {
		p.probeArguments(with, &use, takes)
	}
	misspelt := with != n && (with.Kind() != yamlx.Mapping || len(use.With) < len(with.Keys())) // and is said by now
	for _, f := range takes {
		if _, given := use.With[f.Name]; f.Required && !given && !misspelt {
			p.fail(with, RuleExpression, "probe %s needs %q (%s)", probe, f.Name, f.Doc)
		}
	}
	p.rb.Probes = append(p.rb.Probes, use)
	p.probes = append(p.probes, expr.Field{Name: name, Type: expr.Object, Doc: probe, Elem: yields})
}

func (p *parser) probeArguments(with *yamlx.Node, use *ProbeUse, takes []expr.Field) {
	known := make([]string, 0, len(takes))
	for _, f := range takes {
		known = append(known, f.Name)
	}
	if with.Kind() != yamlx.Mapping {
		p.fail(with, RuleForm, "with is a mapping of names to values")
		return
	}
	for _, arg := range with.Keys() {
		if !slices.Contains(known, arg) {
			key, _ := with.Key(arg)
			p.unknown(key, RuleExpression, "argument of "+use.Probe, arg, known)
			continue
		}
		text, ok := p.template(at(with, arg))
		ok = ok && p.noSecrets(at(with, arg))
		use.With[arg] = text
		if ok {
			p.writtenOut(at(with, arg), use.Probe, arg, text)
		}
	}
}

// writtenOut checks an argument without an expression in it.
func (p *parser) writtenOut(n *yamlx.Node, probe, arg, text string) {
	checker, can := p.o.Probes.(ArgumentChecker)
	env, err := p.env(ScopeTemplate)
	if !can || err != nil {
		return
	}
	template, err := env.CompileTemplate(text)
	if err != nil {
		return // reported where it was compiled first
	}
	if constant, ok := template.Constant(); ok {
		if err := checker.CheckArgument(probe, arg, constant); err != nil {
			p.fail(n, RuleExpression, "%v", err)
		}
	}
}

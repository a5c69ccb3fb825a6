package runbooks

import (
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// flow reads the steps of one phase.
func (p *parser) flow(list []*yamlx.Node, n *yamlx.Node, phase Phase) []Block {
	if len(list) == 0 && n.Kind() == yamlx.List {
		p.fail(n, RuleForm, "a list of steps has at least one")
	}
	p.phase = phase
	return p.blocks(list, n)
}

func (p *parser) blocks(list []*yamlx.Node, n *yamlx.Node) []Block {
	if len(p.rb.Steps)+len(list) > MaxSteps {
		p.tooMany(n, "steps", len(p.rb.Steps)+len(list), MaxSteps)
		return nil
	}
	if p.nesting > MaxNesting {
		p.fail(n, RuleBounded, "blocks are at most %d deep inside each other", MaxNesting)
		return nil
	}
	var out []Block
	for _, item := range list {
		if b, ok := p.block(item); ok {
			out = append(out, b)
		}
	}
	return out
}

// blockWords are the keys that make a block of what is else a step.
func blockWords() []string { return []string{"choose", "foreach", "parallel", "runbook"} }

func (p *parser) block(n *yamlx.Node) (Block, bool) {
	for _, key := range n.Keys() {
		if slices.Contains(blockWords(), key) {
			return p.flowBlock(n, key)
		}
	}
	step, ok := p.step(n)
	p.named(n, step.ID)
	if !ok {
		return Block{}, false
	}
	step.Each, step.Phase = slices.Clone(p.each), p.phase
	p.rb.Steps = append(p.rb.Steps, step)
	for _, o := range step.Outputs {
		p.outputs = append(p.outputs, inputField(o.Name, o.Type, "output of step "+step.ID))
		p.forgetConditions()
	}
	return Block{ID: step.ID, Line: step.Line, Step: len(p.rb.Steps) - 1}, true
}

// named refuses an id that is taken.
func (p *parser) named(n *yamlx.Node, id string) {
	if first := p.ids[id]; id != "" && first != 0 {
		p.fail(at(n, "id"), RuleForm, "step id %q is already in line %d", id, first)
	}
	p.ids[id] = n.Line()
}

// flowBlock reads a block. Inside, each branch sees the outputs of what stands
// before the block; behind it, those of all branches can be read, and cannot tell
// where the branch was not taken.
func (p *parser) flowBlock(n *yamlx.Node, word string) (Block, bool) {
	var raw struct {
		ID       *yamlx.Node   `yaml:"id,required"`
		Choose   []*yamlx.Node `yaml:"choose"`
		Parallel []*yamlx.Node `yaml:"parallel"`
		Foreach  *yamlx.Node   `yaml:"foreach"`
		Runbook  *yamlx.Node   `yaml:"runbook"`
		Steps    []*yamlx.Node `yaml:"steps"`
	}
	if !p.decode(n, &raw, words{later: []string{"join", "if"}}) {
		return Block{}, false
	}
	b := Block{Step: -1, Line: n.Line()}
	b.ID, _ = raw.ID.Scalar()
	if !isSlug(b.ID) {
		p.fail(raw.ID, RuleForm, "id %q is not made of lower-case letters, digits and dashes", b.ID)
	}
	p.named(n, b.ID)
	if both := slices.DeleteFunc(n.Keys(), func(k string) bool { return !slices.Contains(blockWords(), k) }); len(both) > 1 {
		p.fail(n, RuleForm, "block %q is %s at once; make two blocks", b.ID, strings.Join(both, " and "))
		return b, false
	}
	if raw.Foreach == nil && raw.Steps != nil {
		p.fail(at(n, "steps"), RuleForm, "the steps of %s stand in its branches", word)
	}
	before := len(p.errs)
	p.nesting++
	switch word {
	case "choose":
		b.Choose = p.branches(raw.Choose, at(n, word), true)
	case "parallel":
		b.Parallel = p.branches(raw.Parallel, at(n, word), false)
	case "foreach":
		b.Foreach = p.foreach(raw.Foreach, raw.Steps, n)
	case "runbook":
		b.Call = p.call(raw.Runbook)
	}
	p.nesting--
	return b, len(p.errs) == before
}

func (p *parser) branches(list []*yamlx.Node, n *yamlx.Node, conditions bool) []Branch {
	least := 2
	if conditions {
		least = 1
	}
	if len(list) < least || !conditions && len(list) > MaxAtOnce {
		p.fail(n, RuleForm, "there are %d branches; a choose has at least one, parallel 2 to %d", len(list), MaxAtOnce)
	}
	p.tooMany(n, "branches", len(list), maxEntries)
	before, all := slices.Clone(p.outputs), []expr.Field{}
	var out []Branch
	for i, item := range list {
		var raw struct {
			If    *yamlx.Node   `yaml:"if"`
			Steps []*yamlx.Node `yaml:"steps,required"`
		}
		if !p.decode(item, &raw, words{}) {
			continue
		}
		var branch Branch
		switch {
		case raw.If != nil && !conditions:
			p.fail(raw.If, RuleForm, "branches of parallel have no condition: all of them are taken")
		case raw.If != nil:
			branch.If, _ = p.condition(raw.If, ScopeCondition)
		case conditions && i < len(list)-1:
			p.fail(item, RuleForm, "only the last branch of a choose may be without if: it is taken when no other is")
		}
		branch.Blocks = p.blocks(raw.Steps, at(item, "steps"))
		out = append(out, branch)
		all = append(all, p.outputs[len(before):]...)
		p.outputs = slices.Clone(before)
		p.forgetConditions()
	}
	p.outputs = append(p.outputs, all...)
	p.forgetConditions()
	return out
}

func (p *parser) foreach(n *yamlx.Node, steps []*yamlx.Node, block *yamlx.Node) *Foreach {
	var raw struct {
		As     *yamlx.Node `yaml:"as,required"`
		Type   *yamlx.Node `yaml:"type,required"`
		In     *yamlx.Node `yaml:"in,required"`
		Max    *int        `yaml:"max,required"`
		AtOnce *int        `yaml:"at_once"`
	}
	if len(steps) == 0 {
		p.fail(block, RuleForm, "a foreach has steps, beside the word foreach")
	}
	if !p.decode(n, &raw, words{}) {
		return nil
	}
	f := &Foreach{Max: *raw.Max, AtOnce: 1}
	f.As, _ = raw.As.Scalar()
	if !isName(f.As) || slices.ContainsFunc(p.each, func(e Each) bool { return e.As == f.As }) {
		p.fail(raw.As, RuleForm, "%q is taken, or no name of lower-case letters, digits and underscores", f.As)
	}
	types := slices.DeleteFunc(InputTypes(), InputType.List)
	text, _ := raw.Type.Scalar()
	if f.Type = InputType(text); !slices.Contains(types, f.Type) {
		p.unknown(raw.Type, RuleInputs, "type of an element", text, wordsOf(types))
		return nil
	}
	if raw.AtOnce != nil {
		f.AtOnce = *raw.AtOnce
	}
	if f.Max < 1 || f.Max > MaxTimes {
		p.fail(at(n, "max"), RuleBounded, "max is %d; it must be 1 to %d", f.Max, MaxTimes)
		return nil
	}
	if f.AtOnce < 1 || f.AtOnce > MaxAtOnce {
		p.fail(at(n, "at_once"), RuleBounded, "at_once is %d; it must be 1 to %d", f.AtOnce, MaxAtOnce)
		return nil
	}
	f.In, _ = raw.In.Scalar()
	if program, ok := p.compile(raw.In, ScopeCondition, expr.List); ok && slices.Contains(program.Vars(), VarOutputs) {
		p.fail(raw.In, RuleExpression, "a foreach is unrolled when the plan is made, before any step has found something out")
	}
	p.each = append(p.each, Each{As: f.As, Type: f.Type})
	clear(p.envs)
	f.Blocks = p.blocks(steps, at(block, "steps"))
	p.each = p.each[:len(p.each)-1]
	clear(p.envs)
	return f
}

func wordsOf[T ~string](list []T) []string {
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

// stepWords are the keys of steps that are words of the language, and no actions.
func stepWords() []string {
	return []string{StepWait, StepNote, StepEscalate, StepProbe, StepApprove}
}

// word reads the part of a step that is a word of the language.
func (p *parser) word(s *Step, part *yamlx.Node) (Decoded, bool) {
	d := Decoded{Effect: Read}
	before := len(p.errs)
	switch s.Action {
	case StepWait:
		d.OwnVerify = true
		s.Verify = p.wait(part)
	case StepApprove:
		d.With = p.approve(part)
	case StepNote:
		d.With, _ = p.template(part)
	case StepEscalate:
		var raw struct {
			To  string      `yaml:"to"`
			Say *yamlx.Node `yaml:"say,required"`
		}
		if p.decode(part, &raw, words{}) {
			say, _ := p.template(raw.Say)
			if raw.To != "" {
				say = "for " + raw.To + ": " + say
			}
			d.With = say
		}
	case StepProbe:
		name, _ := part.Scalar()
		known := []string{}
		for _, use := range p.rb.Probes {
			known = append(known, use.Name)
		}
		if !slices.Contains(known, name) {
			p.unknown(part, RuleExpression, "probe", name, known)
		}
		d.With = name
	}
	return d, len(p.errs) == before
}

func (p *parser) wait(part *yamlx.Node) Verify {
	var raw struct {
		Until  *yamlx.Node   `yaml:"until,required"`
		Within time.Duration `yaml:"within,required"`
		Hold   time.Duration `yaml:"hold"`
	}
	if !p.decode(part, &raw, words{}) {
		return Verify{}
	}
	v := Verify{That: p.conditionOnProbes(raw.Until, RuleBounded), Within: raw.Within, Hold: raw.Hold}
	p.bounds(part, v)
	return v
}

// bounds checks the times of a verification.
func (p *parser) bounds(n *yamlx.Node, v Verify) {
	if v.Within <= 0 || v.Within > MaxDeadline {
		p.fail(at(n, "within"), RuleBounded, "within is %s; it must be more than 0 and at most %s", v.Within, MaxDeadline)
	}
	if v.Hold < 0 || v.Hold > MaxDeadline {
		p.fail(at(n, "hold"), RuleBounded, "hold is %s; it must not be negative and at most %s", v.Hold, MaxDeadline)
	}
}

func (p *parser) retry(s *Step, n *yamlx.Node) {
	if n == nil {
		return
	}
	var raw struct {
		Count   int           `yaml:"count,required"`
		Delay   time.Duration `yaml:"delay"`
		Backoff float64       `yaml:"backoff"`
	}
	raw.Backoff = 1
	if !p.decode(n, &raw, words{}) {
		return
	}
	s.Retry = Retry{Count: raw.Count, Delay: raw.Delay, Backoff: raw.Backoff}
	switch {
	case raw.Count < 1 || raw.Count > MaxRetries:
		p.fail(at(n, "count"), RuleBounded, "count is %d; it must be 1 to %d", raw.Count, MaxRetries)
	case raw.Delay < 0 || raw.Delay > MaxDeadline:
		p.fail(at(n, "delay"), RuleBounded, "delay is %s; it must not be negative and at most %s", raw.Delay, MaxDeadline)
	case !(raw.Backoff >= 1 && raw.Backoff <= 10): // NaN is neither
		p.fail(at(n, "backoff"), RuleBounded, "backoff is %v; it must be 1 to 10", raw.Backoff)
	case !s.Repeat.Always && s.Repeat.Ask == "":
		p.fail(n, RuleRepeat, "step %q may not be repeated, and so not retried; say repeat: {ask: ...} if it can be told whether it happened", s.ID)
	}
}

// stepOutputs reads what a step finds out.
func (p *parser) stepOutputs(s *Step, n *yamlx.Node) {
	if n == nil {
		return
	}
	if n.Kind() != yamlx.Mapping {
		p.fail(n, RuleForm, "outputs is a mapping of names to {type, from}")
		return
	}
	if len(p.each) > 0 {
		p.fail(n, RuleForm, "a step inside a foreach has no outputs: there would be one for each element")
	}
	p.tooMany(n, "outputs", len(n.Keys()), maxEntries)
	types := slices.DeleteFunc(InputTypes(), InputType.List)
	env, err := newEnv(p.o.Language, ScopeResult, readable{inputs: p.rb.Inputs, anyOf: p.leftOut, each: p.each, result: resultFields(*s, p.rb.Probes, p.o.Probes)})
	if err != nil {
		p.fail(n, RuleExpression, "%v", err)
		return
	}
	for _, name := range n.Keys() {
		var raw struct {
			Type *yamlx.Node `yaml:"type,required"`
			From *yamlx.Node `yaml:"from,required"`
		}
		key, _ := n.Key(name)
		if !isName(name) || slices.ContainsFunc(p.rb.OutputFields(), func(f expr.Field) bool { return f.Name == name }) {
			p.fail(key, RuleForm, "output %q is taken, or no name of lower-case letters, digits and underscores", name)
		}
		if !p.decode(at(n, name), &raw, words{}) {
			continue
		}
		text, _ := raw.Type.Scalar()
		out := Output{Name: name, Type: InputType(text)}
		if !slices.Contains(types, out.Type) {
			p.unknown(raw.Type, RuleInputs, "type of an output", text, wordsOf(types))
			continue
		}
		out.From, _ = raw.From.Scalar()
		if _, err := env.Compile(out.From, out.Type.exprType()); err != nil {
			p.add(expressionError(raw.From, err))
		}
		s.Outputs = append(s.Outputs, out)
	}
}

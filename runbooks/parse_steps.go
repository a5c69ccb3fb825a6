package runbooks

import (
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

type rawStep struct {
	ID       *yamlx.Node    `yaml:"id,required"`
	If       *yamlx.Node    `yaml:"if"`
	Effect   *yamlx.Node    `yaml:"effect"`
	As       *yamlx.Node    `yaml:"as"`
	Timeout  *time.Duration `yaml:"timeout"`
	Preserve *yamlx.Node    `yaml:"preserve"`
	Touches  []*yamlx.Node  `yaml:"touches"`
	Verify   *yamlx.Node    `yaml:"verify"`
	Undo     *yamlx.Node    `yaml:"undo"`
	Repeat   *yamlx.Node    `yaml:"repeat"`
	Retry    *yamlx.Node    `yaml:"retry"`
	Outputs  *yamlx.Node    `yaml:"outputs"`

	MayCutAccess *yamlx.Node `yaml:"may_cut_access"`
}

// laterStepWords are of the language, but not of this version.
func laterStepWords() []string {
	return []string{"at_once", "deadman", "join"}
}

// EvidenceNames lists what a step can save before it destroys it.
func EvidenceNames() []string { return []string{"journal", "open-files", "log-tail", "processes"} }

// step reads one step. What belongs to every step is read here, what belongs
// to its action by the action's decoder.
func (p *parser) step(n *yamlx.Node) (Step, bool) {
	s := Step{Line: n.Line(), Timeout: DefaultStepTimeout}
	names := make([]string, 0, len(p.o.Decoders))
	for _, d := range p.o.Decoders {
		names = append(names, d.Name())
	}
	names = append(names, stepWords()...)
	later := slices.DeleteFunc(laterStepWords(), func(w string) bool { return slices.Contains(names, w) })
	before := len(p.errs)
	var raw rawStep
	if !p.decode(n, &raw, words{elsewhere: names, later: later}) {
		// The rest would be guesses, but the action's part can be read by itself.
		if slices.ContainsFunc(n.Keys(), func(key string) bool { return slices.Contains(names, key) }) {
			p.action(&s, n, names)
		}
		return s, false
	}
	p.stepHead(&s, n, raw)
	d, ok := p.action(&s, n, names)
	if !ok {
		return s, false
	}
	p.effect(&s, raw.Effect, d)
	p.preserve(&s, n, raw.Preserve, d)
	p.touches(&s, n, raw.Touches)
	p.verify(&s, n, raw.Verify, d)
	p.undo(&s, n, raw.Undo, d)
	p.repeat(&s, raw.Repeat, d)
	p.retry(&s, raw.Retry)
	p.stepOutputs(&s, raw.Outputs)
	p.mayCutAccess(&s, raw.MayCutAccess)
	return s, len(p.errs) == before
}

// mayCutAccess reads that a step may cut off its own host. It can be taken back,
// and is, by an agent that hears nothing any more.
func (p *parser) mayCutAccess(s *Step, n *yamlx.Node) {
	may := false
	if n == nil {
		return
	}
	if err := n.Decode(&may); err != nil {
		p.foreign(n, RuleForm, err)
		return
	}
	switch {
	case !may:
	case p.rb.Deadman == 0:
		p.add(n.Errorf("step %q may cut its own access, and nothing says how long it may be unheard of", s.ID).WithRule(RuleBounded).
			WithHint("in spec: deadman: 3m"))
	case s.Effect == Read || !s.Undoes():
		p.fail(n, RuleVerified, "step %q may cut its own access, and cannot be taken back", s.ID)
	case p.phase != PhaseMain:
		p.fail(n, RuleForm, "what follows a run is not taken back, and so may not cut its own access")
	}
	if !may {
		return
	}
	s.Deadman = p.rb.Deadman
	if s.Timeout > s.Deadman && s.Deadman > 0 { // nothing is taken back while its command is at work
		p.fail(n, RuleBounded, "step %q may take %s, longer than the deadman of %s, and is not taken back before it ends; give it a timeout", s.ID, s.Timeout, s.Deadman)
	}
}

// stepHead reads what needs no action: id, if, as and timeout.
func (p *parser) stepHead(s *Step, n *yamlx.Node, raw rawStep) {
	s.ID, _ = raw.ID.Scalar()
	if !isSlug(s.ID) {
		p.fail(raw.ID, RuleForm, "step id %q is not made of lower-case letters, digits and dashes", s.ID)
	}
	if raw.If != nil {
		s.If, _ = p.condition(raw.If, ScopeCondition)
	}
	if raw.As != nil {
		s.As, _ = raw.As.Scalar()
		if !isUser(s.As) {
			p.fail(raw.As, RuleForm, "%q is not the name of a user", s.As)
		}
	}
	if raw.Timeout != nil {
		s.Timeout = *raw.Timeout
		if s.Timeout <= 0 || s.Timeout > MaxStepTimeout {
			p.fail(at(n, "timeout"), RuleBounded, "timeout is %s; it must be more than 0 and at most %s", s.Timeout, MaxStepTimeout)
		}
	}
}

// action finds the one action of the step and lets its decoder read it.
func (p *parser) action(s *Step, n *yamlx.Node, names []string) (Decoded, bool) {
	var found []string
	for _, key := range n.Keys() {
		if slices.Contains(names, key) {
			found = append(found, key)
		}
	}
	switch len(found) {
	case 0:
		p.add(n.Errorf("step %q has no action", s.ID).WithRule(RuleForm).WithHint("one of: %s", strings.Join(names, ", ")))
		return Decoded{}, false
	case 1:
	default:
		second, _ := n.Key(found[1])
		p.fail(second, RuleForm, "step %q has two actions, %s and %s; make two steps", s.ID, found[0], found[1])
		return Decoded{}, false
	}
	s.Action = found[0]
	part := at(n, s.Action)
	if part.Kind() == yamlx.Null {
		p.fail(part, RuleForm, "step %q does not say what to %s", s.ID, s.Action)
		return Decoded{}, false
	}
	if slices.Contains(stepWords(), s.Action) {
		d, ok := p.word(s, part)
		s.With = d.With
		return d, ok
	}
	safe := p.noShell(part, s.Action == actionRun)
	decoder := p.o.Decoders[slices.Index(names, s.Action)]
	var verbatim []string
	if v, ok := decoder.(Verbatim); ok {
		verbatim = v.Verbatim()
	}
	if !p.secrets(part, decoder) || !p.templates(part, verbatim...) {
		return Decoded{}, false
	}
	env, err := p.env(ScopeTemplate)
	if err != nil {
		p.fail(part, RuleExpression, "%v", err)
		return Decoded{}, false
	}
	c := &StepContext{StepID: s.ID, Env: env, Inputs: p.rb.Inputs, Each: p.each, language: p.o.Language}
	d, err := decoder.Decode(part, c)
	if err != nil {
		p.foreign(part, RuleForm, err)
		return Decoded{}, false
	}
	s.With, s.Secrets = d.With, c.secrets
	if len(d.Commands) == 0 {
		d.Commands = []string{strings.TrimSuffix(s.Action+"."+d.Deed, ".")}
	}
	for _, deed := range d.Commands {
		safe = p.deed(part, deed) && safe
	}
	return d, safe
}

// actionRun is the action whose part is an argv.
const actionRun = "run"

// foreign takes over the error of a decoder.
func (p *parser) foreign(n *yamlx.Node, rule string, err error) {
	own := yamlx.Errors(err)
	for _, e := range own {
		if e.Rule == "" {
			e = e.WithRule(rule)
		}
		p.add(e)
	}
	if len(own) == 0 {
		p.fail(n, rule, "%v", err)
	}
}

// noShell looks at every list of scalars in an action's part.
func (p *parser) noShell(n *yamlx.Node, argv bool) bool {
	safe := true
	var texts []string
	items := n.Items()
	for _, item := range items {
		text, _ := item.Scalar()
		texts = append(texts, text)
		safe = p.noShell(item, false) && safe
	}
	if i, why := valueInScript(texts); i > 0 || i == 0 && argv {
		p.fail(items[i], RuleNoShell, "%s", why)
		safe = false
	}
	if c := (&StepContext{Inputs: p.rb.Inputs}); argv && len(texts) > 0 && isWholeValue(texts[0]) {
		if _, list := c.ListInput(texts[0]); !list {
			p.fail(items[0], RuleNoShell, "a value must not choose the program, unless it is an argv input, which the inventory gives")
			safe = false
		}
	}
	for _, key := range n.Keys() {
		safe = p.noShell(at(n, key), false) && safe
	}
	return safe
}

// effect settles the effect: the step may say more than the action, not less.
func (p *parser) effect(s *Step, n *yamlx.Node, d Decoded) {
	effects := []string{string(Read), string(Write), string(Irreversible)}
	s.Effect = d.Effect
	if s.Effect == "" {
		s.Effect = Write
	}
	if n == nil {
		return
	}
	text, _ := n.Scalar()
	declared := slices.Index(effects, text)
	switch {
	case declared < 0:
		p.unknown(n, RuleForm, "effect", text, effects)
	case d.MayOnlyRead && text == string(Read):
		s.Effect = Read
	case declared < slices.Index(effects, string(s.Effect)):
		unless := ""
		if s.Action == actionRun && text == string(Read) {
			unless = "; it only reads with one of " + strings.Join(Readers(), ", ")
		}
		p.fail(n, RulePerson, "effect is %s, but %s is of effect %s%s", text, s.Action, s.Effect, unless)
		s.Effect = Effect(text) // refused by now: the other rules need not say the same in other words
	default:
		s.Effect = Effect(text)
	}
}

func (p *parser) preserve(s *Step, step, n *yamlx.Node, d Decoded) {
	if n == nil {
		if d.DestroysEvidence {
			p.add(step.Errorf("step %q destroys evidence and does not say what is saved first", s.ID).WithRule(RulePreserve).
				WithHint("preserve: [%s], or preserve: none", strings.Join(EvidenceNames(), ", ")))
		}
		return
	}
	if text, ok := n.Scalar(); ok && text == "none" {
		return
	}
	s.Preserve = p.evidenceNames(n)
	if n.Kind() == yamlx.List && len(n.Items()) == 0 {
		p.fail(n, RulePreserve, "an empty list preserves nothing; if that is meant, write preserve: none")
	}
}

// touches reads a list of mappings of one kind to one name.
func (p *parser) touches(s *Step, n *yamlx.Node, list []*yamlx.Node) {
	p.tooMany(at(n, "touches"), "touches", len(list), maxEntries)
	if len(list) > 0 && s.Effect == Read {
		p.fail(at(n, "touches"), RuleForm, "step %q only reads, and so touches nothing", s.ID)
	}
	kinds := []string{}
	for _, k := range TouchKinds() {
		kinds = append(kinds, string(k))
	}
	for _, item := range list {
		if len(item.Keys()) != 1 {
			p.fail(item, RuleForm, "a kind and a name are expected, as in file: /var/log/orders.log")
			continue
		}
		kind := item.Keys()[0]
		if !slices.Contains(kinds, kind) {
			key, _ := item.Key(kind)
			p.unknown(key, RuleForm, "kind", kind, kinds)
			continue
		}
		if name, ok := p.template(at(item, kind)); ok {
			s.Touches = append(s.Touches, Touch{TouchKind(kind), name})
		}
	}
}

func (p *parser) evidenceNames(n *yamlx.Node) []string {
	if n.Kind() != yamlx.List {
		p.fail(n, RulePreserve, "a list of evidence names is expected: %s", strings.Join(EvidenceNames(), ", "))
		return nil
	}
	var names []string
	for _, item := range n.Items() {
		name, _ := item.Scalar()
		switch {
		case !slices.Contains(EvidenceNames(), name):
			p.unknown(item, RulePreserve, "evidence", name, EvidenceNames())
		case slices.Contains(names, name):
			p.fail(item, RulePreserve, "evidence %q is named twice", name)
		default:
			names = append(names, name)
		}
	}
	return names
}

func (p *parser) verify(s *Step, step, n *yamlx.Node, d Decoded) {
	var raw struct {
		That   *yamlx.Node    `yaml:"that"`
		Within *time.Duration `yaml:"within"`
		Hold   time.Duration  `yaml:"hold"`
	}
	changes := s.Effect != Read
	if s.Action == StepWait {
		if n != nil {
			p.fail(n, RuleForm, "wait has its condition under until, and no verify beside it")
		}
		return
	}
	if n == nil {
		n = step
	} else if !p.decode(n, &raw, words{later: []string{"for", "every", "during"}}) {
		return
	}
	if raw.That != nil {
		s.Verify.That = p.conditionOnProbes(raw.That, RuleVerified)
	}
	switch asked := n != step; {
	case raw.That == nil && !d.OwnVerify && changes:
		p.add(n.Errorf("step %q changes something and does not verify it: verify.that is missing, and %s does not check itself", s.ID, s.Action).
			WithRule(RuleVerified).WithHint("verify: {that: used.used_percent < inputs.limit, within: 1m}, with a probe of yours"))
		return
	case raw.That == nil && !d.OwnVerify && asked:
		p.fail(n, RuleVerified, "verify needs that, the expression to be measured")
		return
	case !changes && !asked:
		return
	}
	s.Verify.Within, s.Verify.Hold = DefaultVerifyWithin, raw.Hold
	if raw.Within != nil {
		s.Verify.Within = *raw.Within
	}
	p.bounds(n, s.Verify)
}

func (p *parser) undo(s *Step, step, n *yamlx.Node, d Decoded) {
	if n == nil {
		s.Undo.Own = d.OwnUndo && s.Effect != Read
		if s.Effect != Read && !d.OwnUndo {
			p.add(step.Errorf("step %q changes something and does not say how it is undone", s.ID).WithRule(RuleVerified).
				WithHint("undo: {run: [...]}, or undo: none"))
		}
		return
	}
	if text, ok := n.Scalar(); ok {
		s.Undo.None = text == "none"
		if !s.Undo.None {
			p.fail(n, RuleVerified, "undo is none or {run: [...]}, not %q", text)
		}
		return
	}
	var raw struct {
		Run *yamlx.Node `yaml:"run,required"`
	}
	if !p.decode(n, &raw, words{later: []string{"unit", "file", "script", "verify", "as", "timeout"}}) {
		return
	}
	p.noSecrets(raw.Run)
	if raw.Run.Kind() != yamlx.List || len(raw.Run.Items()) == 0 {
		p.fail(raw.Run, RuleNoShell, "run is a list of arguments, the program first")
		return
	}
	p.noShell(raw.Run, true)
	var texts []string
	for _, item := range raw.Run.Items() {
		text, _ := item.Scalar()
		texts = append(texts, text)
	}
	for _, deed := range CommandDeeds(texts) {
		p.deed(raw.Run, deed)
	}
	for _, item := range raw.Run.Items() {
		if text, ok := p.template(item); ok {
			s.Undo.Run = append(s.Undo.Run, text)
		}
	}
}

func (p *parser) repeat(s *Step, n *yamlx.Node, d Decoded) {
	s.Repeat = d.Repeat
	if s.Effect == Read {
		s.Repeat = Repeat{Always: true}
	}
	if n == nil {
		return
	}
	if text, ok := n.Scalar(); ok {
		switch {
		case text == "never":
			s.Repeat = Repeat{}
		case text == "always" && s.Repeat.Always:
		case text == "always":
			p.fail(n, RuleRepeat, "step %q changes something; always is for steps that only read, write never or {ask: ...}", s.ID)
		default:
			p.fail(n, RuleRepeat, "repeat is never, always or {ask: ...}, not %q", text)
		}
		return
	}
	var raw struct {
		Ask *yamlx.Node `yaml:"ask,required"`
	}
	if p.decode(n, &raw, words{}) {
		ask := p.conditionOnProbes(raw.Ask, RuleRepeat)
		s.Repeat = Repeat{Ask: ask}
	}
}

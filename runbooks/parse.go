package runbooks

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// The form that this version reads.
const (
	apiVersion = "secondline/v1"
	kind       = "Runbook"
)

// Bounds of what one runbook holds besides its steps.
const (
	maxEntries = 100 // inputs, probes, requirements, locks, labels, causes; each
	maxErrors  = 100
)

// ParseOptions is what a runbook is checked against. Decoders and Probes are
// needed.
type ParseOptions struct {
	Decoders []Decoder
	Probes   ProbeSpecs
	// Called finds a runbook that another calls; nil when there are none.
	Called func(name string) (*Runbook, bool)
	// Forbidden are the deeds that no cure of a cause may do, by the cause's id; see Decoded.Deed.
	Forbidden map[string][]string
	Language  *expr.Language // shared when many runbooks are parsed; nil for one of its own
}

// Parse reads and checks a runbook. The error holds every mistake that was
// found, each a *yamlx.Error with its position and rule; see yamlx.Errors and
// Explain. It is safe for concurrent use if the decoders are.
func Parse(file string, data []byte, o ParseOptions) (*Runbook, error) {
	root, err := yamlx.Parse(file, data)
	if err != nil {
		return nil, err
	}
	p := newParser(root, o)
	p.document()
	if err := p.err(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	p.rb.File, p.rb.Source, p.rb.size = file, bytes.Clone(data), p.rb.size+len(p.rb.Steps)
	p.rb.Digest = "sha256:" + hex.EncodeToString(sum[:])
	return p.rb, nil
}

// parser gathers a runbook and the mistakes in it. A part with a mistake is
// left out, and the rest is still checked.
type parser struct {
	o      ParseOptions
	root   *yamlx.Node
	rb     *Runbook
	errs   []*yamlx.Error
	probes []expr.Field // what conditions read, by local name
	// leftOut says that an input with a mistake is missing: expressions may then read any, so that one mistake is told once.
	leftOut bool
	envs    map[Scope]*expr.Env
	ids     map[string]int // lines of steps and blocks

	// Of the place in the flow.
	outputs []expr.Field // of the steps so far
	each    []Each
	phase   Phase
	nesting int
}

func newParser(root *yamlx.Node, o ParseOptions) *parser {
	if o.Language == nil {
		o.Language = new(expr.Language)
	}
	return &parser{
		o: o, root: root,
		rb:   &Runbook{language: o.Language, MaxTargets: 1, Deadline: DefaultDeadline, Autonomy: Approve, Labels: map[string]string{}},
		envs: map[Scope]*expr.Env{}, ids: map[string]int{},
	}
}

// err returns all mistakes, by position.
func (p *parser) err() error {
	all := make([]error, 0, len(p.errs))
	for _, e := range p.errs {
		all = append(all, e)
	}
	for i, e := range yamlx.Errors(errors.Join(all...)) {
		all[i] = e
	}
	return errors.Join(all[:min(len(all), maxErrors)]...)
}

func (p *parser) add(e *yamlx.Error) { p.errs = append(p.errs, e) }

func (p *parser) fail(n *yamlx.Node, rule, format string, args ...any) {
	p.add(n.Errorf(format, args...).WithRule(rule))
}

// unknown reports a word that is none of the known ones.
func (p *parser) unknown(n *yamlx.Node, rule, what, word string, known []string) {
	p.add(n.Errorf("%s %q is not known", what, word).WithRule(rule).WithHint("%s", suggestion(word, known)))
}

func suggestion(word string, known []string) string {
	if near := yamlx.Suggest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "there is none"
	}
	return "known: " + strings.Join(known, ", ")
}

// words are keys of a mapping that its struct does not have.
type words struct {
	elsewhere []string // read by someone else
	later     []string // of the language, but not of this version
}

// decode reads n into a struct. Unknown keys are mistakes, and those that a
// later version will read say so.
func (p *parser) decode(n *yamlx.Node, into any, w words) bool {
	if n.Kind() == yamlx.Null { // which Decode takes for "leave it as it is"
		p.fail(n, RuleForm, "nothing stands here; a mapping is expected")
		return false
	}
	ok := true
	for _, e := range yamlx.Errors(n.Decode(into)) {
		key := ""
		if e.Rule == yamlx.RuleUnknownField {
			key = keyAt(n, e)
		}
		switch {
		case key != "" && slices.Contains(w.elsewhere, key):
			continue
		case key != "" && slices.Contains(w.later, key):
			e.Message, e.Rule = fmt.Sprintf("%q is not supported by this version", key), RuleUnsupported
			e.Hint = "it is refused because leaving it out would run a different runbook"
		case key != "" && strings.HasPrefix(e.Hint, "known: ") && len(w.elsewhere) > 0:
			e.Hint = suggestionOr(key, w.elsewhere, e.Hint)
		}
		p.add(e)
		ok = false
	}
	return ok
}

func suggestionOr(word string, known []string, otherwise string) string {
	if near := yamlx.Suggest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return otherwise + ", " + strings.Join(known, ", ")
}

// keyAt returns the key of n that the error points at, or "".
func keyAt(n *yamlx.Node, e *yamlx.Error) string {
	for _, key := range n.Keys() {
		if k, ok := n.Key(key); ok && k.Line() == e.Line && k.Column() == e.Column {
			return key
		}
	}
	return ""
}

// at returns the value of the key, or n itself to point somewhere.
func at(n *yamlx.Node, key string) *yamlx.Node {
	if v, ok := n.Get(key); ok {
		return v
	}
	return n
}

type rawDocument struct {
	APIVersion string      `yaml:"apiVersion,required"`
	Kind       string      `yaml:"kind,required"`
	Metadata   rawMetadata `yaml:"metadata,required"`
	Spec       rawSpec     `yaml:"spec,required"`
}

type rawMetadata struct {
	Name   string            `yaml:"name,required"`
	Title  string            `yaml:"title,required"`
	Owner  string            `yaml:"owner"`
	Labels map[string]string `yaml:"labels"`
}

type rawSpec struct {
	Cures       []*yamlx.Node `yaml:"cures"`
	Inputs      *yamlx.Node   `yaml:"inputs"`
	Targets     *yamlx.Node   `yaml:"targets"`
	Limits      *yamlx.Node   `yaml:"limits"`
	Probes      *yamlx.Node   `yaml:"probes"`
	Require     []*yamlx.Node `yaml:"require"`
	Steps       []*yamlx.Node `yaml:"steps,required"`
	OnFailure   []*yamlx.Node `yaml:"on_failure"`
	Always      []*yamlx.Node `yaml:"always"`
	Autonomy    *yamlx.Node   `yaml:"autonomy"`
	Escalate    *yamlx.Node   `yaml:"escalate"`
	SelfService bool          `yaml:"self_service"`
	Deadman     *yamlx.Node   `yaml:"deadman"`
}

func (p *parser) document() {
	var doc rawDocument
	if p.root.Kind() == yamlx.Null {
		p.fail(p.root, RuleForm, "the file is empty")
		return
	}
	p.decodeDocument(&doc)
	if doc.APIVersion != "" && doc.APIVersion != apiVersion {
		p.fail(at(p.root, "apiVersion"), RuleForm, "apiVersion is %q; this version reads %q", doc.APIVersion, apiVersion)
	}
	if doc.Kind != "" && doc.Kind != kind {
		p.fail(at(p.root, "kind"), RuleForm, "kind is %q, not %q", doc.Kind, kind)
	}
	p.metadata(at(p.root, "metadata"), doc.Metadata)
	spec := at(p.root, "spec")
	p.cures(spec, doc.Spec.Cures)
	p.rb.SelfService = doc.Spec.SelfService
	// The order matters: expressions read inputs and probes.
	p.inputs(doc.Spec.Inputs)
	p.probeUses(doc.Spec.Probes)
	p.targets(doc.Spec.Targets)
	p.limits(doc.Spec.Limits)
	p.requirements(doc.Spec.Require, at(spec, "require"))
	p.deadman(doc.Spec.Deadman)
	p.rb.Flow = p.flow(doc.Spec.Steps, at(spec, "steps"), PhaseMain)
	p.rb.OnFailure = p.flow(doc.Spec.OnFailure, at(spec, "on_failure"), PhaseOnFailure)
	p.rb.Always = p.flow(doc.Spec.Always, at(spec, "always"), PhaseAlways)
	p.autonomy(doc.Spec.Autonomy)
	p.escalate(doc.Spec.Escalate)
	p.worstCase(at(spec, "limits"))
}

// decodeDocument reads the outer form. Keys of spec that come later are
// looked for where they stand.
func (p *parser) decodeDocument(doc *rawDocument) {
	later := []string{"windows", "rate", "breaker", "keep_healthy"}
	spec := at(p.root, "spec")
	for _, e := range yamlx.Errors(p.root.Decode(doc)) {
		if key := keyAt(spec, e); e.Rule == yamlx.RuleUnknownField && slices.Contains(later, key) {
			e.Message, e.Rule = fmt.Sprintf("%q is not supported by this version", key), RuleUnsupported
			e.Hint = "it is refused because leaving it out would run a different runbook"
		}
		p.add(e)
	}
}

func (p *parser) metadata(n *yamlx.Node, m rawMetadata) {
	if m.Name != "" && !isSlug(m.Name) {
		p.fail(at(n, "name"), RuleForm, "name %q is not made of lower-case letters, digits and dashes", m.Name)
	}
	p.tooMany(at(n, "labels"), "labels", len(m.Labels), maxEntries)
	p.rb.Name, p.rb.Title, p.rb.Owner = m.Name, m.Title, m.Owner
	if m.Labels != nil {
		p.rb.Labels = m.Labels
	}
}

func (p *parser) cures(n *yamlx.Node, cures []*yamlx.Node) {
	p.tooMany(at(n, "cures"), "causes", len(cures), maxEntries)
	for _, c := range cures {
		id, _ := c.Scalar()
		switch {
		case !isSlug(id):
			p.fail(c, RuleForm, "%q is not the id of a cause", id)
		case slices.Contains(p.rb.Cures, id):
			p.fail(c, RuleForm, "cause %q is named twice", id)
		default:
			p.rb.Cures = append(p.rb.Cures, id)
		}
	}
}

func (p *parser) limits(n *yamlx.Node) {
	var raw struct {
		Locks    []*yamlx.Node  `yaml:"locks"`
		Deadline *time.Duration `yaml:"deadline"`
		Rate     *yamlx.Node    `yaml:"rate"`
	}
	if n == nil || !p.decode(n, &raw, words{later: []string{"keep_healthy", "breaker", "windows", "concurrency"}}) {
		return
	}
	p.rates(raw.Rate)
	p.tooMany(n, "locks", len(raw.Locks), maxEntries)
	for _, l := range raw.Locks {
		if text, ok := p.template(l); ok {
			p.rb.Locks = append(p.rb.Locks, text)
		}
	}
	if raw.Deadline == nil {
		return
	}
	p.rb.Deadline = *raw.Deadline
	if *raw.Deadline <= 0 || *raw.Deadline > MaxDeadline {
		p.fail(at(n, "deadline"), RuleBounded, "deadline is %s; it must be more than 0 and at most %s", *raw.Deadline, MaxDeadline)
	}
}

func (p *parser) requirements(list []*yamlx.Node, n *yamlx.Node) {
	p.tooMany(n, "requirements", len(list), maxEntries)
	for _, r := range list {
		var raw struct {
			That    *yamlx.Node `yaml:"that,required"`
			Say     string      `yaml:"say"`
			Because string      `yaml:"because"`
		}
		if !p.decode(r, &raw, words{}) {
			continue
		}
		if strings.TrimSpace(raw.Because) == "" {
			p.fail(r, RulePrecheck, "because is missing, the sentence for people when the precondition is false")
		}
		if that, ok := p.condition(raw.That, ScopeCondition); ok {
			p.rb.Require = append(p.rb.Require, Requirement{That: that, Say: raw.Say, Because: raw.Because})
		}
	}
}

func (p *parser) autonomy(n *yamlx.Node) {
	if n == nil { // then no further than what it calls
		for _, called := range p.rb.Called() {
			if p.rb.Autonomy.above(called.Autonomy) {
				p.rb.Autonomy = called.Autonomy
			}
		}
		return
	}
	levels := []string{string(Observe), string(Suggest), string(Approve), string(Auto)}
	text, _ := n.Scalar()
	if !slices.Contains(levels, text) {
		p.unknown(n, RuleForm, "autonomy", text, levels)
		return
	}
	p.rb.Autonomy = Level(text)
	for _, called := range p.rb.Called() {
		if p.rb.Autonomy.above(called.Autonomy) {
			p.fail(n, RulePerson, "autonomy is %s, but runbook %s, which it calls, goes by itself at most to %s", p.rb.Autonomy, called.Name, called.Autonomy)
		}
	}
	for _, s := range p.rb.Steps {
		if s.Action == StepApprove && p.rb.Autonomy == Auto {
			p.fail(n, RulePerson, "autonomy is auto, but step %q asks people; write approve", s.ID)
		}
		if s.Effect == Irreversible && p.rb.Autonomy == Auto {
			p.fail(n, RulePerson, "autonomy is auto, but step %q is irreversible and always needs a person; write approve", s.ID)
		}
	}
}

func (p *parser) escalate(n *yamlx.Node) {
	var raw struct {
		To      string      `yaml:"to"`
		Collect *yamlx.Node `yaml:"collect"`
		Say     string      `yaml:"say"`
	}
	if n == nil || !p.decode(n, &raw, words{}) {
		return
	}
	p.rb.Escalate = Escalate{To: raw.To, Say: raw.Say}
	if raw.Collect != nil {
		p.rb.Escalate.Collect = p.evidenceNames(raw.Collect)
	}
}

// deadman reads within what time a step that may cut off its own host must have
// been heard of.
func (p *parser) deadman(n *yamlx.Node) {
	if n == nil {
		return
	}
	if err := n.Decode(&p.rb.Deadman); err != nil {
		p.foreign(n, RuleForm, err)
		return
	}
	if p.rb.Deadman < MinDeadman || p.rb.Deadman > MaxDeadman {
		p.fail(n, RuleBounded, "deadman is %s; it must be %s to %s", p.rb.Deadman, MinDeadman, MaxDeadman)
	}
}

// worstCase refuses a runbook that may take longer than its deadline.
func (p *parser) worstCase(n *yamlx.Node) {
	if len(p.errs) == 0 && p.rb.WorstCase() > p.rb.Deadline {
		p.add(n.Errorf("the worst case takes %s, longer than the deadline of %s", p.rb.WorstCase(), p.rb.Deadline).WithRule(RuleBounded).
			WithHint("shorten time-outs and holds, or set limits.deadline; a run that fails also takes back what it did; longest: %s", p.longestSteps()))
	}
}

// longestSteps names the three steps that may take longest.
func (p *parser) longestSteps() string {
	steps := slices.Clone(p.rb.Steps)
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(b.WorstCase(), a.WorstCase()) })
	var words []string
	for _, s := range steps[:min(3, len(steps))] {
		words = append(words, fmt.Sprintf("%s %s", s.ID, s.WorstCase()))
	}
	return strings.Join(words, ", ")
}

func (p *parser) tooMany(n *yamlx.Node, what string, have, most int) {
	if have > most {
		p.fail(n, RuleBounded, "%d %s, more than %d", have, what, most)
	}
}

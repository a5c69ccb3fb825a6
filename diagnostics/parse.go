package diagnostics

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
)

// The forms in which a cause is written.
type authoredCause struct {
	ID         scalar             `yaml:"id,required"`
	Title      string             `yaml:"title,required"`
	Plugin     scalar             `yaml:"plugin"`
	Entity     scalar             `yaml:"entity,required"`
	Object     []scalar           `yaml:"object"`
	Prior      *float64           `yaml:"prior"`
	Symptoms   *authoredSymptoms  `yaml:"symptoms"`
	Survey     authoredReadings   `yaml:"survey"`
	Candidates scalar             `yaml:"candidates"`
	Needs      authoredReadings   `yaml:"needs"`
	Details    map[string]scalar  `yaml:"details"`
	Evidence   []authoredEvidence `yaml:"evidence"`
	Explains   []string           `yaml:"explains"`
	Cures      []string           `yaml:"cures"`
	Next       []authoredNext     `yaml:"next"`
	Never      []string           `yaml:"never"`
	Forbids    []scalar           `yaml:"forbids"`
	Prevent    []string           `yaml:"prevent"`
	Sources    []string           `yaml:"sources"`
}

type authoredSymptoms struct {
	Alerts []string      `yaml:"alerts"`
	Holds  scalar        `yaml:"holds,required"`
	Say    scalar        `yaml:"say,required"`
	Hold   time.Duration `yaml:"hold"`
}

type authoredEvidence struct {
	ID            scalar  `yaml:"id,required"`
	That          scalar  `yaml:"that,required"`
	SeenIfCause   float64 `yaml:"seen_if_cause,required"`
	SeenOtherwise float64 `yaml:"seen_otherwise,required"`
	Group         string  `yaml:"group,required"`
	Role          Role    `yaml:"role,required"`
	Say           scalar  `yaml:"say,required"`
	Otherwise     scalar  `yaml:"otherwise"`
	Conclusive    scalar  `yaml:"conclusive"`
}

type authoredNext struct {
	Probe scalar        `yaml:"probe,required"`
	Cost  time.Duration `yaml:"cost,required"`
}

// ParseCause reads one cause file and compiles every expression in it against
// what the probes declare. All mistakes are reported at once, as yamlx.Errors
// with their positions. Of a cause of a plugin whose probes are not there, only
// what needs none is read.
func ParseCause(file string, data []byte, probes *ProbeSet) (*Cause, error) {
	var a authoredCause
	root, err := decodeFile(file, data, &a)
	if err != nil {
		return nil, err
	}
	l := &loader{root: root, probes: probes}
	lacks := ""
	if plugin := a.Plugin.text; plugin != "" && !probes.OfPlugin(plugin) {
		// It stays known, for its cures and for what must not be done about it.
		lacks = "plugin " + plugin + " is not offered here"
		a.Prior, a.Symptoms, a.Survey, a.Candidates = nil, nil, nil, scalar{}
		a.Needs, a.Details, a.Evidence, a.Next = nil, nil, nil, nil
	}
	c := &Cause{
		ID: a.ID.text, Title: a.Title, Plugin: a.Plugin.text, Lacks: lacks, Entity: entity.Kind(a.Entity.text), Object: texts(a.Object), Symptoms: Symptoms{Alerts: []string{}},
		Explains: full(a.Explains), Cures: full(a.Cures), Never: full(a.Never), Forbids: texts(a.Forbids), Prevent: full(a.Prevent),
		Sources: full(a.Sources), Next: l.next(a.Next), File: file, Source: data, Digest: digestOf(data),
	}
	l.checkCause(a)
	if l.isDiagnosed(a) {
		c.Prior = *a.Prior
		c.Symptoms = Symptoms{Alerts: full(a.Symptoms.Alerts), Holds: a.Symptoms.Holds.text, Hold: a.Symptoms.Hold}
		l.checkDiagnosis(a)
		l.compileCause(a, c)
	}
	if err := l.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// checkCause checks what needs no expression.
func (l *loader) checkCause(a authoredCause) {
	slug := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	word := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	deed := regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[A-Za-z0-9_.+-]+)?$`)
	l.check(slug.MatchString(a.ID.text), a.ID.node, "%q is not like disk-full-logs", a.ID.text)
	kinds := []entity.Kind{entity.Host, entity.Unit, entity.Service, entity.Database, entity.LoadBalancer, entity.Group, entity.Site}
	l.check(slices.Contains(kinds, entity.Kind(a.Entity.text)), a.Entity.node, "%q is no kind of entity", a.Entity.text)
	for i, f := range a.Forbids {
		l.check(deed.MatchString(f.text), f.node, "%q is not like unit.restarted, process or run.rm", f.text)
		l.check(!slices.Contains(texts(a.Forbids[:i]), f.text), f.node, "%q is there twice", f.text)
	}
	for i, key := range a.Object {
		l.check(word.MatchString(key.text), key.node, "%q is not like mount", key.text)
		l.check(!slices.Contains(texts(a.Object[:i]), key.text), key.node, "%q is there twice", key.text)
	}
}

// isDiagnosed reports whether the cause says how it is found out. One that says
// nothing of it is known by its name, for its cures and for what makes it worse;
// half of it is a mistake.
func (l *loader) isDiagnosed(a authoredCause) bool {
	parts := map[string]bool{"prior": a.Prior != nil, "symptoms": a.Symptoms != nil, "evidence": len(a.Evidence) > 0}
	whole, none := true, a.Candidates.node == nil && len(a.Survey)+len(a.Needs)+len(a.Details) == 0
	for _, there := range parts {
		whole, none = whole && there, none && !there
	}
	if !whole && !none {
		for _, key := range slices.Sorted(maps.Keys(parts)) {
			l.check(parts[key], l.root, "%s is missing: a cause that can be diagnosed has prior, symptoms and evidence, one that cannot has none of them", key)
		}
	}
	return whole
}

// checkDiagnosis checks of the diagnosis what needs no expression.
func (l *loader) checkDiagnosis(a authoredCause) {
	l.check(between0and1(*a.Prior), l.at("prior"), "prior must be above 0 and below 1")
	l.check(a.Symptoms.Hold >= 0, l.at("symptoms"), "hold is negative")
	switch hasObject := len(a.Object) > 0; {
	case hasObject && a.Candidates.node == nil:
		l.report(l.at("object"), "a cause with an object needs candidates, which list the objects")
	case !hasObject && a.Candidates.node != nil:
		l.report(a.Candidates.node, "candidates need an object, which names their keys")
	}
	l.checkEvidence(a.Evidence)
}

func (l *loader) checkEvidence(evidence []authoredEvidence) {
	required := false
	for i, e := range evidence {
		required = required || e.Role == Required
		l.check(e.ID.text != "", e.ID.node, "evidence needs an id")
		l.check(!slices.ContainsFunc(evidence[:i], func(o authoredEvidence) bool { return o.ID.text == e.ID.text }),
			e.ID.node, "evidence %q is there twice", e.ID.text)
		l.check(between0and1(e.SeenIfCause) && between0and1(e.SeenOtherwise), e.ID.node,
			"seen_if_cause and seen_otherwise of %q must be above 0 and below 1", e.ID.text)
		switch e.Role {
		case Required, Supporting, Proof:
			l.check(e.SeenIfCause > e.SeenOtherwise, e.ID.node, "%q speaks for the cause, so it must be seen more often with it", e.ID.text)
		case Refuting:
			l.check(e.SeenIfCause < e.SeenOtherwise, e.ID.node, "%q refutes the cause, so it must be seen less often with it", e.ID.text)
		default:
			l.report(e.ID.node, "role of %q must be required, supporting, refuting or proof", e.ID.text)
		}
	}
	l.check(required, l.at("evidence"), "a cause needs at least one piece of required evidence")
}

// compileCause compiles the expressions, each against what is known when it is
// evaluated.
func (l *loader) compileCause(a authoredCause, c *Cause) {
	taken := []string{varHints, varEntity, varOnset, varObject}
	before := l.env(subjectFields())
	c.survey = l.readings(a.Survey, before, taken)
	surveyed := l.env(subjectFields(), asFields(c.survey))
	if a.Candidates.node != nil {
		c.candidates = l.program(surveyed, a.Candidates, expr.List)
	}
	object := []expr.Field{{Name: varObject, Type: expr.Map, Doc: "what the cause is about"}}
	found := l.env(subjectFields(), asFields(c.survey), object)
	c.needs = l.readings(a.Needs, found, slices.Concat(taken, readingNames(c.survey)))
	all := l.env(subjectFields(), asFields(c.survey), object, asFields(c.needs))
	c.holds = l.claim(all, a.Symptoms.Holds, a.Symptoms.Say, a.Symptoms.Say)
	for _, key := range slices.Sorted(maps.Keys(a.Details)) {
		value := a.Details[key]
		l.check(!slices.Contains(c.Object, key), value.node, "%q is a key of the object already", key)
		c.details = append(c.details, detail{key, l.template(all, value)})
	}
	for _, e := range a.Evidence {
		asked := l.claim(all, e.That, e.Say, e.Otherwise)
		asked.conclusive = l.program(all, e.Conclusive, expr.Bool)
		c.Evidence = append(c.Evidence, EvidenceSpec{
			ID: e.ID.text, That: e.That.text, SeenIfCause: e.SeenIfCause, SeenOtherwise: e.SeenOtherwise,
			Group: e.Group, Role: e.Role, Say: e.Say.text, Otherwise: e.Otherwise.text, Conclusive: e.Conclusive.text,
			claim: asked,
		})
	}
}

func (l *loader) claim(env *expr.Env, that, say, otherwise scalar) claim {
	return claim{
		that: that.text, program: l.program(env, that, expr.Bool),
		say: l.template(env, say), otherwise: l.template(env, otherwise),
	}
}

func (l *loader) next(authored []authoredNext) []NextProbe {
	out := make([]NextProbe, 0, len(authored))
	for _, n := range authored {
		_, err := l.probes.Find(n.Probe.text)
		l.check(err == nil, n.Probe.node, "there is no probe %q", n.Probe.text)
		out = append(out, NextProbe{Probe: n.Probe.text, Cost: n.Cost})
	}
	return out
}

func between0and1(f float64) bool { return f > 0 && f < 1 }

func texts(scalars []scalar) []string {
	out := make([]string, len(scalars))
	for i, s := range scalars {
		out[i] = s.text
	}
	return out
}

// full returns the list, empty in place of nil: lists in JSON are never null.
func full(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

package diagnostics

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
)

// reading is a name under which expressions see what a probe yields.
type reading struct {
	name    string
	probe   string
	outputs []expr.Field
	with    []argument
}

// argument is one argument of a probe: text with expressions in it, or a list
// of strings, which the probe gets as a JSON array, or as nothing when it is empty.
type argument struct {
	name string
	text *expr.Template
	list *expr.Program // in place of text
}

func (a argument) value(vars map[string]any) (string, error) {
	if a.list == nil {
		return a.text.Render(context.Background(), vars)
	}
	items, err := a.list.Eval(context.Background(), vars)
	if err != nil {
		return "", err
	}
	if list, ok := items.([]any); ok && len(list) == 0 {
		return "", nil // no argument, as for an empty text
	}
	text, err := json.Marshal(items)
	return string(text), err
}

func (a argument) reads() []string {
	if a.list == nil {
		return a.text.Vars()
	}
	return a.list.Vars()
}

// args fills in the arguments; why says what was missing when that cannot be
// done.
func (r reading) args(vars map[string]any) (args Args, why string) {
	args = Args{}
	for _, a := range r.with {
		value, err := a.value(vars)
		if err != nil {
			return nil, fmt.Sprintf("%s is not known: %v", a.name, err)
		}
		args[a.name] = value
	}
	return args, ""
}

// argumentVars returns the names that the arguments are made of.
func (r reading) argumentVars() []string {
	var names []string
	for _, a := range r.with {
		names = append(names, a.reads()...)
	}
	return names
}

// factKey is what a fact answers: two questions with one key are the same.
func factKey(probe string, args Args) string {
	// A map of strings is always valid JSON, with its keys in order.
	text, _ := json.Marshal(args)
	if len(args) == 0 {
		text = nil
	}
	return probe + string(text)
}

// factIndex finds facts by what they answer.
type factIndex map[string]Fact

// indexFacts keeps the facts about the target, of each question the newest.
func indexFacts(facts []Fact, target string) factIndex {
	index := factIndex{}
	for _, f := range facts {
		if f.Target != target {
			continue
		}
		key := factKey(f.Probe, f.Args)
		old, have := index[key]
		newer := f.At.After(old.At) || f.At.Equal(old.At) && f.ID > old.ID
		if !have || newer {
			index[key] = f
		}
	}
	return index
}

// binding is what expressions can read about a subject, and there about an
// object, with the facts that each reading rests on.
type binding struct {
	vars  map[string]any
	cut   map[string]any    // readings that are true as far as they go
	cites map[string]string // reading name to fact id
	gaps  map[string]string // reading name to the sentence that says what could not be looked at
}

func newBinding(subject Subject) *binding {
	return &binding{vars: subject.vars(), cut: map[string]any{}, cites: map[string]string{}, gaps: map[string]string{}}
}

// about returns a copy for one object.
func (b *binding) about(object map[string]string) *binding {
	c := &binding{vars: maps.Clone(b.vars), cut: b.cut, cites: maps.Clone(b.cites), gaps: maps.Clone(b.gaps)}
	c.vars[varObject] = stringMap(object)
	return c
}

// read adds the readings from the facts, and returns b. What is missing
// becomes "cannot tell" with its reason.
func (b *binding) read(readings []reading, facts factIndex) *binding {
	for _, r := range readings {
		args, why := r.args(b.vars)
		if why != "" {
			b.miss(r, cmp.Or(b.missing(r.argumentVars()), r.probe+" was not asked: "+why))
			continue
		}
		fact, ok := facts[factKey(r.probe, args)]
		if !ok {
			b.miss(r, describe(r.probe, args)+notAsked)
			continue
		}
		b.cites[r.name] = fact.ID
		value, why := r.value(fact)
		if why != "" {
			b.miss(r, why)
			if fact.Status == Truncated && fact.Value != nil {
				b.cut[r.name] = expr.Coerce(r.outputs, fact.Value)
			}
			continue
		}
		b.vars[r.name] = value
	}
	return b
}

// loose returns what is known, with cut readings as far as they go. It is for
// choosing what to look at, where a part of the list is better than none; no
// predicate may be decided on it.
func (b *binding) loose() map[string]any {
	vars := maps.Clone(b.vars)
	maps.Copy(vars, b.cut)
	return vars
}

func (b *binding) miss(r reading, why string) {
	b.vars[r.name] = expr.Unknown{Why: why}
	b.gaps[r.name] = why
}

// missing returns why the first of the names that has no reading at all has
// none, "" when each has: what cannot be asked for want of another reading
// misses that one.
func (b *binding) missing(names []string) string {
	for _, name := range names {
		if _, partly := b.cut[name]; !partly && b.gaps[name] != "" {
			return b.gaps[name]
		}
	}
	return ""
}

// value is the reading as expressions see it; why says what is wrong with a
// fact that does not tell. Absence without values cannot answer a question
// about values.
func (r reading) value(f Fact) (value any, why string) {
	about := describe(f.Probe, f.Args)
	if !f.Status.Tells() || f.Value == nil {
		why = fmt.Sprintf("%s: %s", about, strings.ReplaceAll(string(f.Status), "_", " "))
		if f.Error != "" {
			why += ": " + f.Error
		}
		return nil, why
	}
	return expr.Coerce(r.outputs, f.Value), ""
}

// describe names a question for people: disk.usage(mount=/var).
func describe(probe string, args Args) string {
	pairs := make([]string, 0, len(args))
	for _, name := range slices.Sorted(maps.Keys(args)) {
		pairs = append(pairs, name+"="+args[name])
	}
	if len(pairs) == 0 {
		return probe
	}
	return probe + "(" + strings.Join(pairs, ", ") + ")"
}

// citations returns the ids of the facts behind the names, in order.
func (b *binding) citations(names []string) []string {
	ids := []string{}
	for _, name := range names {
		if id, ok := b.cites[name]; ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

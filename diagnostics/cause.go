package diagnostics

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
)

// Cause is an entry of the catalogue: what can be wrong, which evidence speaks
// for and against it, what it explains and what cures it. It comes from
// ParseCause, does not change, and is safe for concurrent use.
type Cause struct {
	ID       string
	Title    string
	Plugin   string      // whose probes it needs; "" when the built-in ones suffice
	Lacks    string      // why it cannot be diagnosed here, for people; "" when it can, or never can
	Entity   entity.Kind // what sort of entity it happens to
	Object   []string    // the keys that say what on the entity; none when it is the entity as a whole
	Prior    float64     // how probable before anything was read
	Symptoms Symptoms
	Evidence []EvidenceSpec
	Explains []string // ids of causes that follow from it
	Cures    []string // names of runbooks, best first
	Next     []NextProbe
	Never    []string // what makes it worse, for people
	Forbids  []string // what no cure of it may do: "unit.restarted", "process", "run.rm"
	Prevent  []string
	Sources  []string
	File     string
	Source   []byte // the file
	Digest   string // "sha256:" and the hex digest of the file

	survey     []reading // read before the objects are known
	candidates *expr.Program
	needs      []reading // read for each object
	details    []detail
	holds      claim
}

// detail is what else a cure needs to know of an object, found in the readings.
type detail struct {
	key  string
	text *expr.Template
}

// Diagnosed reports whether the cause says how it is found out. One that does
// not is known by name only: it is never ranked and cannot be measured.
func (c *Cause) Diagnosed() bool { return len(c.Evidence) > 0 }

// describe returns the object with its details; one that is not known is left
// out, so that a cure which needs it cannot be bound.
func (c *Cause) describe(object map[string]string, known *binding) map[string]string {
	whole := maps.Clone(object)
	for _, d := range c.details {
		if text, err := d.text.Render(context.Background(), known.vars); err == nil && text != "" {
			whole[d.key] = text
		}
	}
	return whole
}

// Symptoms are what a cause looks like from outside.
type Symptoms struct {
	Alerts []string      // names of alerts that it explains
	Holds  string        // the predicate: it is there now
	Hold   time.Duration // how long it must stay gone to count as gone
}

// EvidenceSpec is one piece of evidence as the catalogue declares it.
type EvidenceSpec struct {
	ID            string
	That          string
	SeenIfCause   float64 // P(true | the cause)
	SeenOtherwise float64 // P(true | not the cause)
	Group         string  // pieces of one mechanism, which count once
	Role          Role
	Say           string // the sentence for people when it is true
	Otherwise     string // and when it is false; may be empty
	Conclusive    string // what must hold for a false to count; may be empty

	claim claim
}

// NextProbe is a probe that a person, or a later round, would read next.
type NextProbe struct {
	Probe string
	Cost  time.Duration
}

// claim is a compiled predicate with its sentences.
type claim struct {
	that       string
	program    *expr.Program
	conclusive *expr.Program  // may be nil
	say        *expr.Template // may be nil
	otherwise  *expr.Template // may be nil
}

// ask evaluates the predicate and says the outcome for people. A false that is
// not conclusive, because not everything was looked at, cannot tell.
func (c claim) ask(b *binding) (truth expr.Truth, why, text string) {
	truth, why = c.program.Ask(context.Background(), b.vars)
	if truth == expr.False && c.conclusive != nil {
		if whole, _ := c.conclusive.Ask(context.Background(), b.vars); whole != expr.True {
			truth, why = expr.CannotTell, "what was looked at is not all: "+c.conclusive.Source()
		}
	}
	switch truth {
	case expr.True:
		return truth, "", render(c.say, b, c.that)
	case expr.False:
		return truth, "", render(c.otherwise, b, "not so: "+c.that)
	case expr.CannotTell:
	}
	return expr.CannotTell, why, "cannot tell: " + why
}

// reads returns the names that decide.
func (c claim) reads() []string {
	if c.conclusive == nil {
		return c.program.Vars()
	}
	return append(c.program.Vars(), c.conclusive.Vars()...)
}

// render fills in a sentence; one that cannot be filled in is replaced by the
// predicate, which is true as well.
func render(sentence *expr.Template, b *binding, otherwise string) string {
	if sentence == nil {
		return otherwise
	}
	text, err := sentence.Render(context.Background(), b.vars)
	if err != nil {
		return otherwise
	}
	return text
}

// objects returns what the cause could be about, at most maxObjects; gap says
// what was left out or could not be told.
func (c *Cause) objects(b *binding) (objects []map[string]string, gap string) {
	if c.candidates == nil {
		return []map[string]string{{}}, ""
	}
	list, err := c.candidates.Eval(context.Background(), b.loose())
	switch {
	case err != nil && b.missing(c.candidates.Vars()) != "":
		return nil, "" // the binding says it already
	case err != nil:
		return nil, fmt.Sprintf("%s: where to look is not known: %v", c.ID, err)
	}
	objects, err = c.objectsOf(list)
	if err != nil {
		return nil, fmt.Sprintf("%s: %v", c.ID, err)
	}
	if len(objects) > maxObjects {
		return objects[:maxObjects], fmt.Sprintf("%s: %d candidates, of which %d were looked at", c.ID, len(objects), maxObjects)
	}
	return objects, ""
}

// objectsOf checks the candidates: maps with exactly the keys of the object.
func (c *Cause) objectsOf(list any) ([]map[string]string, error) {
	items, ok := list.([]any)
	if !ok {
		return nil, fmt.Errorf("candidates are %T, not a list", list)
	}
	objects := make([]map[string]string, 0, len(items))
	seen := map[string]bool{}
	for _, item := range items {
		fields, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("a candidate is %T, not a map", item)
		}
		object := make(map[string]string, len(fields))
		for _, key := range c.Object {
			text, ok := fields[key].(string)
			if !ok || text == "" {
				return nil, fmt.Errorf("a candidate has no %q", key)
			}
			object[key] = text
		}
		if len(fields) != len(c.Object) {
			return nil, fmt.Errorf("a candidate has other keys than %s", strings.Join(c.Object, ", "))
		}
		if key := objectKey(object); !seen[key] {
			seen[key] = true
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// objectKey orders and compares objects.
func objectKey(object map[string]string) string {
	text, _ := json.Marshal(object) // a map of strings is always valid JSON, with its keys in order
	return string(text)
}

// objectText names an object for people: mount=/var.
func objectText(object map[string]string) string {
	pairs := make([]string, 0, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		pairs = append(pairs, key+"="+object[key])
	}
	return strings.Join(pairs, ", ")
}

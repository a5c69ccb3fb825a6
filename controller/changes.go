package controller

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
)

// Change is a runbook or a cause that one catalogue has and another has not, or
// has otherwise.
type Change struct {
	Kind string `json:"kind"` // runbook or cause
	Name string `json:"name"`
	What string `json:"what"` // added, removed, changed
	// Matters are the parts that decide what is done, to what and by whose word:
	// of what was added as they are, of what changed before and after. What is
	// not among them (titles, comments) is in Diff.
	Matters []string `json:"matters"`
	Diff    string   `json:"diff"` // of the files, unified
}

// Words of Change.What.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Changes returns what differs, runbooks first, each by name. What is equal byte
// by byte is no change, whatever folder it comes from.
func Changes(before, after *Catalogue) []Change {
	list := []Change{}
	list = append(list, compare("runbook", runbookEntries(before), runbookEntries(after))...)
	return append(list, compare("cause", causeEntries(before), causeEntries(after))...)
}

// entry is a file of a catalogue.
type entry struct {
	name, file string
	source     []byte
	effect     runbooks.Effect // the strongest of a runbook
}

func runbookEntries(c *Catalogue) []entry {
	var list []entry
	for _, rb := range c.Runbooks.All() {
		list = append(list, entry{rb.Name, rb.File, rb.Source, strongest(rb)})
	}
	return list
}

func causeEntries(c *Catalogue) []entry {
	var list []entry
	for _, cause := range c.Causes.All() {
		list = append(list, entry{name: cause.ID, file: cause.File, source: cause.Source})
	}
	return list
}

// compare merges two lists that are in the order of their names.
func compare(kind string, before, after []entry) []Change {
	var list []Change
	for len(before) > 0 || len(after) > 0 {
		var was, is entry
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].name < after[0].name:
			was, before = before[0], before[1:]
			list = append(list, Change{kind, was.name, Removed, []string{}, difference(was, is)})
		case len(before) == 0 || after[0].name < before[0].name:
			is, after = after[0], after[1:]
			list = append(list, Change{kind, is.name, Added, matters(nil, partsOf(is)), difference(was, is)})
		default:
			was, is, before, after = before[0], after[0], before[1:], after[1:]
			if string(was.source) != string(is.source) {
				list = append(list, Change{kind, is.name, Changed, matters(partsOf(was), partsOf(is)), difference(was, is)})
			}
		}
	}
	return list
}

func difference(was, is entry) string {
	name := func(e entry) string {
		if e.file == "" {
			return "/dev/null"
		}
		return e.file
	}
	return string(diff.Diff(name(was), was.source, name(is), is.source))
}

// part is one value of a file, as JSON, under a name for people.
type part struct{ name, value string }

// maxPartBytes bounds what is shown of one part; the rest is in the diff.
const maxPartBytes = 300

// matters names the parts that are not the same.
func matters(was, is []part) []string {
	lines := []string{}
	values := map[string]string{}
	for _, p := range was {
		values[p.name] = p.value
	}
	for _, p := range is {
		before, known := values[p.name]
		delete(values, p.name)
		switch {
		case was == nil:
			lines = append(lines, p.name+": "+short(p.value))
		case !known:
			lines = append(lines, p.name+" is new: "+short(p.value))
		case before != p.value:
			lines = append(lines, fmt.Sprintf("%s: %s, before %s", p.name, short(p.value), short(before)))
		}
	}
	for _, p := range was {
		if value, gone := values[p.name]; gone {
			lines = append(lines, p.name+" is gone: "+short(value))
		}
	}
	if order := func(list []part) string { return strings.Join(stepNames(list), ", ") }; was != nil && len(lines) == 0 && order(was) != order(is) {
		lines = append(lines, fmt.Sprintf("the order of steps: %s, before %s", order(is), order(was)))
	}
	return lines
}

func short(value string) string {
	if len(value) > maxPartBytes {
		return strings.ToValidUTF8(value[:maxPartBytes], "") + "…"
	}
	return value
}

func stepNames(list []part) (names []string) {
	for _, p := range list {
		if strings.HasPrefix(p.name, "step ") {
			names = append(names, p.name)
		}
	}
	return names
}

// partsOf takes a file apart. It reads the YAML and not what the loader made of
// it, so that a part of the language which is not known here is shown, too.
func partsOf(e entry) []part {
	root, err := yamlx.Parse(e.file, e.source)
	if err != nil {
		return nil // it was loaded before
	}
	if spec, ok := root.Get("spec"); ok && e.effect != "" {
		return append([]part{{"effect", string(e.effect)}}, runbookParts(spec)...)
	}
	var parts []part
	for _, key := range root.Keys() {
		node, _ := root.Get(key)
		switch key {
		case "id", "title", "sources", "prevent":
		case "evidence":
			for _, item := range node.Items() {
				parts = append(parts, part{"evidence " + idOf(item), asJSON(plain(item))})
			}
		default:
			parts = append(parts, part{key, asJSON(plain(node))})
		}
	}
	return parts
}

func runbookParts(spec *yamlx.Node) []part {
	var parts []part
	for _, key := range spec.Keys() {
		node, _ := spec.Get(key)
		switch key {
		case "inputs", "probes":
			for _, name := range node.Keys() {
				value, _ := node.Get(name)
				parts = append(parts, part{strings.TrimSuffix(key, "s") + " " + name, asJSON(plain(value))})
			}
		case "steps", "on_failure", "always":
			parts = append(parts, stepParts(strings.TrimSuffix(key, "s"), node)...)
		default:
			parts = append(parts, part{key, asJSON(plain(node))})
		}
	}
	return parts
}

// stepParts lists the steps of a list, and behind each the steps inside it.
func stepParts(word string, list *yamlx.Node) []part {
	var parts []part
	for _, item := range list.Items() {
		own := plain(item)
		if fields, ok := own.(map[string]any); ok {
			own = withoutSteps(fields)
		}
		if id := idOf(item); id != "" {
			parts = append(parts, part{word + " " + id, asJSON(own)})
		}
		if inner, ok := item.Get("steps"); ok {
			parts = append(parts, stepParts(word, inner)...)
		}
		for _, key := range []string{"choose", "parallel"} {
			if branches, ok := item.Get(key); ok {
				parts = append(parts, stepParts(word, branches)...)
			}
		}
	}
	return parts
}

// withoutSteps leaves out the steps inside a block, which have parts of their own.
func withoutSteps(fields map[string]any) map[string]any {
	delete(fields, "steps")
	delete(fields, "id")
	for _, key := range []string{"choose", "parallel"} {
		branches, _ := fields[key].([]any)
		for _, b := range branches {
			if branch, ok := b.(map[string]any); ok {
				delete(branch, "steps")
			}
		}
	}
	return fields
}

func idOf(n *yamlx.Node) string {
	id, ok := n.Get("id")
	if !ok {
		return ""
	}
	text, _ := id.Scalar()
	return text
}

func plain(n *yamlx.Node) any {
	var v any
	if err := n.Decode(&v); err != nil {
		return nil // it was loaded before
	}
	return v
}

func asJSON(v any) string {
	if text, ok := v.(string); ok && !slices.ContainsFunc([]rune(text), func(r rune) bool { return r == '\n' }) {
		return text
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}

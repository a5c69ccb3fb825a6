package plugins

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Limits of a plugin's declaration.
const (
	maxProbes   = 64
	maxFields   = 64
	maxDocBytes = 4 << 10
	maxElem     = 4 // levels of Field.Elem
	maxRaws     = 1000
)

// Checker says whether what a plugin declares and answers keeps the contract.
// The host refuses what does not; authors meet the same Checker in plugintest.
type Checker struct {
	name *regexp.Regexp
}

// NewChecker returns a Checker.
func NewChecker() *Checker {
	return &Checker{name: regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)}
}

// Plugin checks the declaration of a plugin: its info and the specs of its
// probes. The error names everything that is wrong.
func (c *Checker) Plugin(info Info, specs []Spec) error {
	var bad []error
	if !c.name.MatchString(info.Name) {
		bad = append(bad, fmt.Errorf("plugin name %q is not of the form [a-z][a-z0-9_]*", clip(info.Name)))
	}
	if len(info.Version) > 200 {
		bad = append(bad, errors.New("version is longer than 200 bytes"))
	}
	if err := info.Capabilities.Check(); err != nil {
		bad = append(bad, err)
	}
	if len(specs) == 0 || len(specs) > maxProbes {
		bad = append(bad, fmt.Errorf("%d probes, want 1 to %d", len(specs), maxProbes))
	}
	seen := map[string]bool{}
	for _, s := range specs[:min(len(specs), maxProbes)] {
		if seen[s.Name] {
			bad = append(bad, fmt.Errorf("probe %q is declared twice", clip(s.Name)))
		}
		seen[s.Name] = true
		if err := c.spec(s); err != nil {
			bad = append(bad, fmt.Errorf("probe %q: %w", clip(s.Name), err))
		}
	}
	return errors.Join(bad...)
}

func (c *Checker) spec(s Spec) error {
	var bad []error
	if !c.name.MatchString(s.Name) {
		bad = append(bad, errors.New("name is not of the form [a-z][a-z0-9_]*"))
	}
	if s.Title == "" || len(s.Title)+len(s.Doc) > maxDocBytes {
		bad = append(bad, fmt.Errorf("no title, or title and doc longer than %d bytes", maxDocBytes))
	}
	if !(s.CostSeconds >= 0 && s.CostSeconds <= 3600) {
		bad = append(bad, errors.New("cost_seconds is not between 0 and 3600"))
	}
	for _, f := range s.Inputs {
		if f.Type == List || f.Type == Map || f.Type == Object {
			bad = append(bad, fmt.Errorf("input %q: type %s, but arguments are text", clip(f.Name), f.Type))
		}
	}
	if len(s.Outputs) == 0 {
		bad = append(bad, errors.New("no outputs"))
	}
	bad = append(bad, c.fields("input", s.Inputs, 0), c.fields("output", s.Outputs, 0))
	return errors.Join(bad...)
}

func (c *Checker) fields(what string, fields []Field, depth int) error {
	if depth > maxElem || len(fields) > maxFields {
		return fmt.Errorf("%ss: more than %d fields or %d levels", what, maxFields, maxElem)
	}
	var bad []error
	seen := map[string]bool{}
	for _, f := range fields {
		name := clip(f.Name)
		if !c.name.MatchString(f.Name) || seen[f.Name] {
			bad = append(bad, fmt.Errorf("%s %q: not of the form [a-z][a-z0-9_]*, or declared twice", what, name))
		}
		seen[f.Name] = true
		if len(f.Doc) > maxDocBytes {
			bad = append(bad, fmt.Errorf("%s %q: doc longer than %d bytes", what, name, maxDocBytes))
		}
		switch f.Type {
		case String, Int, Double, Bool, Timestamp, Map:
			if len(f.Elem) > 0 {
				bad = append(bad, fmt.Errorf("%s %q: elem on type %s", what, name, f.Type))
			}
		case Object:
			if len(f.Elem) == 0 {
				bad = append(bad, fmt.Errorf("%s %q: object without elem", what, name))
			}
		case List:
		default:
			bad = append(bad, fmt.Errorf("%s %q: unknown type %q", what, name, clip(string(f.Type))))
		}
		bad = append(bad, c.fields(what, f.Elem, depth+1))
	}
	return errors.Join(bad...)
}

// Raws checks what a Read answered.
func (c *Checker) Raws(raws []Raw) error {
	if len(raws) > maxRaws {
		return fmt.Errorf("%d raws, want at most %d", len(raws), maxRaws)
	}
	for i, r := range raws {
		if r.Name == "" || len(r.Name) > 200 || len(r.Command) > 64<<10 {
			return fmt.Errorf("raw %d: no name, or name or command too long", i)
		}
		if !r.Status.known() {
			return fmt.Errorf("raw %q: unknown status %q", r.Name, clip(string(r.Status)))
		}
	}
	return nil
}

// Answer checks what a Parse answered against the outputs of the spec. A value
// is asked of OK only; whatever comes with another status must still have the
// declared names and types.
func (c *Checker) Answer(s Spec, v Value, status Status) error {
	if !status.known() {
		return fmt.Errorf("unknown status %q", clip(string(status)))
	}
	return object(s.Outputs, v, status == OK)
}

func (s Status) known() bool {
	switch s {
	case OK, Absent, Failed, TimedOut, Truncated, Denied:
		return true
	}
	return false
}

func object(fields []Field, v map[string]any, complete bool) error {
	left := len(v)
	for _, f := range fields {
		x, ok := v[f.Name]
		if !ok {
			if complete && !f.Optional {
				return fmt.Errorf("output %q is missing", f.Name)
			}
			continue
		}
		left--
		if err := typed(f, x); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if left > 0 {
		return fmt.Errorf("%d fields are not declared", left)
	}
	return nil
}

func typed(f Field, x any) error {
	ok := false
	switch f.Type {
	case String:
		_, ok = x.(string)
	case Int:
		_, ok = x.(int64)
	case Double:
		_, ok = x.(float64)
	case Bool:
		_, ok = x.(bool)
	case Timestamp:
		_, ok = x.(time.Time)
	case Map:
		return textMap(x)
	case Object:
		if m, isMap := x.(map[string]any); isMap {
			return object(f.Elem, m, true)
		}
	case List:
		if list, isList := x.([]any); isList {
			return elements(f, list)
		}
	}
	if !ok {
		return fmt.Errorf("is a %T, declared as %s", x, f.Type)
	}
	return nil
}

func elements(f Field, list []any) error {
	elem := Field{Name: f.Name, Type: String}
	if len(f.Elem) > 0 {
		elem = Field{Name: f.Name, Type: Object, Elem: f.Elem}
	}
	for i, x := range list {
		if err := typed(elem, x); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func textMap(x any) error {
	m, ok := x.(map[string]any)
	if !ok {
		return fmt.Errorf("is a %T, declared as map", x)
	}
	for _, e := range m {
		if _, ok := e.(string); !ok {
			return fmt.Errorf("holds a %T, declared as a map of strings", e)
		}
	}
	return nil
}

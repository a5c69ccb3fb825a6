package expr

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Program is a compiled expression. It does not change and may be evaluated by
// many goroutines.
type Program struct {
	source string
	want   Type
	plan   func() (cel.Program, error) // made ready at the first Eval
	output *types.Type
	reads  []Field
}

// Source returns the text that was compiled.
func (p *Program) Source() string { return p.source }

// Vars returns the declared names that the expression reads, sorted.
func (p *Program) Vars() []string {
	all := names(p.reads)
	slices.Sort(all)
	return all
}

// Eval returns the value of the expression as a plain Go value: string, int64,
// float64, bool, time.Time, time.Duration, []any, map[string]any or nil. The
// error is a *CannotTellError, always.
func (p *Program) Eval(ctx context.Context, vars map[string]any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, &CannotTellError{Why: err.Error(), Err: err}
	}
	values := Coerce(p.reads, vars)
	unknowns := &unknowns{why: map[string]string{}}
	for _, f := range p.reads {
		if v, ok := values[f.Name]; ok {
			unknowns.find(cel.AttributePattern(f.Name), []string{f.Name}, v)
			continue
		}
		// A name without a value is an unknown like any other.
		unknowns.add(cel.AttributePattern(f.Name), f.Name, "has no value")
	}
	input, err := cel.PartialVars(values, unknowns.patterns...)
	if err != nil {
		return nil, &CannotTellError{Why: err.Error()}
	}
	program, err := p.plan()
	if err != nil {
		return nil, &CannotTellError{Why: err.Error()}
	}
	out, _, err := program.ContextEval(ctx, input)
	if err != nil {
		return nil, cannotTell(ctx, err)
	}
	if u, ok := out.(*types.Unknown); ok {
		return nil, &CannotTellError{Why: unknowns.explain(u)}
	}
	plain, err := plainValue(out)
	if err != nil {
		return nil, &CannotTellError{Why: err.Error()}
	}
	return p.wanted(plain, out)
}

// wanted holds the value against what was asked for at Compile, which could not
// be decided then for values without a declaration.
func (p *Program) wanted(plain any, out ref.Val) (any, error) {
	if i, ok := plain.(int64); ok && p.want == Double {
		return float64(i), nil
	}
	if t, ok := out.Type().(*types.Type); ok && !p.want.matches(t) {
		return nil, &CannotTellError{Why: fmt.Sprintf("the value is a %s, not a %s", typeName(t), p.want)}
	}
	return plain, nil
}

// Ask evaluates an expression that was compiled for Bool. The string says why
// it cannot be told.
func (p *Program) Ask(ctx context.Context, vars map[string]any) (Truth, string) {
	v, err := p.Eval(ctx, vars)
	if err != nil {
		if e, ok := errors.AsType[*CannotTellError](err); ok {
			return CannotTell, e.Why
		}
		return CannotTell, err.Error()
	}
	switch v {
	case true:
		return True, ""
	case false:
		return False, ""
	}
	return CannotTell, fmt.Sprintf("the value is a %T, not a bool", v)
}

func cannotTell(ctx context.Context, err error) *CannotTellError {
	if ctx.Err() != nil {
		return &CannotTellError{Why: "stopped: " + context.Cause(ctx).Error(), Err: ctx.Err()}
	}
	return &CannotTellError{Why: strings.ReplaceAll(err.Error(), objectMark, "")}
}

// unknowns are the parts of the input that cannot be told, by their path.
type unknowns struct {
	patterns []*cel.AttributePatternType
	why      map[string]string
}

func (u *unknowns) add(pattern *cel.AttributePatternType, path, why string) {
	u.patterns = append(u.patterns, pattern)
	u.why[path] = why
}

// find looks through objects; lists hold no unknowns after Coerce.
func (u *unknowns) find(pattern *cel.AttributePatternType, path []string, v any) {
	switch v := v.(type) {
	case Unknown:
		u.add(pattern, strings.Join(path, "."), v.Why)
	case map[string]any:
		for key, item := range v {
			switch item.(type) {
			case Unknown, map[string]any:
			default:
				continue
			}
			inner := cel.AttributePattern(path[0])
			for _, step := range path[1:] {
				inner.QualString(step)
			}
			u.find(inner.QualString(key), append(slices.Clone(path), key), item)
		}
	}
}

// explain says why each name that decided is unknown.
func (u *unknowns) explain(out *types.Unknown) string {
	var all []string
	for _, id := range out.IDs() {
		trails, _ := out.GetAttributeTrails(id)
		for _, t := range trails {
			var path strings.Builder
			path.WriteString(t.Variable())
			for _, q := range t.QualifierPath() {
				fmt.Fprintf(&path, ".%v", q)
			}
			for at, why := range u.why {
				if at == path.String() || strings.HasPrefix(at, path.String()+".") || strings.HasPrefix(path.String(), at+".") {
					all = append(all, at+": "+why)
				}
			}
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == 0 {
		return "a value that it needs is not known"
	}
	return strings.Join(all, "; ")
}

// plainValue converts a result. Its size is bounded by the cost limit and by
// what Coerce let in.
func plainValue(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.String:
		return string(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if v > math.MaxInt64 {
			return nil, fmt.Errorf("number %d is too large", uint64(v))
		}
		return int64(v), nil
	case types.Double:
		return float64(v), nil
	case types.Bool:
		return bool(v), nil
	case types.Timestamp:
		return v.UTC(), nil
	case types.Duration:
		return v.Duration, nil
	case types.Null:
		return nil, nil //nolint:nilnil // null is a value of the language
	case traits.Mapper:
		return plainMap(v)
	case traits.Lister:
		return plainList(v)
	case *types.Err:
		return nil, v
	}
	return nil, fmt.Errorf("a value of type %s is of no use here", v.Type().TypeName())
}

func plainMap(m traits.Mapper) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, errors.New("a map with keys that are no strings is of no use here")
		}
		item, err := plainValue(m.Get(key))
		if err != nil {
			return nil, err
		}
		out[string(name)] = item
	}
	return out, nil
}

func plainList(l traits.Lister) (any, error) {
	out := []any{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		item, err := plainValue(it.Next())
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}

// text writes a scalar into a template.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64, bool:
		return fmt.Sprint(v), true
	case float64:
		return formatDouble(v), true
	case time.Time, time.Duration:
	}
	return "", false
}

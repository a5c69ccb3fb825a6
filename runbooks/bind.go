package runbooks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// BindInputs gives every input its value: what a person gave, else what its
// from says over vars (hypothesis, entity, target), else its default. Values
// are checked by type wherever they come from. Lists come from the inventory
// only, and are, whole, lists that the entity declares. It returns the values
// as expressions read them under VarInputs, and as people and the plan's digest
// see them. The error names every input at fault, each a fault of kind Invalid
// with its field.
func BindInputs(rb *Runbook, given map[string]string, vars map[string]any) (values map[string]any, shown map[string]string, err error) {
	values, shown = map[string]any{}, map[string]string{}
	b := binder{given: given, vars: map[string]any{}, language: new(expr.Language)}
	maps.Copy(b.vars, vars)
	b.vars[VarInputs] = values
	errs := refuseUnknown(rb, given)
	for i, in := range rb.Inputs {
		value, err := b.value(rb.Inputs[:i], in)
		if err != nil {
			// Later inputs may read this one; they then say that it is not known.
			values[in.Name] = expr.Unknown{Why: "input " + in.Name + " has no value"}
			errs = append(errs, fault.New(fault.Invalid, "input %s %v", in.Name, err).WithField("inputs."+in.Name))
			continue
		}
		values[in.Name], shown[in.Name] = value, showValue(value)
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	return values, shown, nil
}

// FromVars are the vars of BindInputs. hypothesis is nil when a person asks for
// the run without one; an input that comes from it must then be given.
func FromVars(hypothesis map[string]any, about, target entity.Entity) map[string]any {
	vars := map[string]any{
		VarHypothesis: hypothesis,
		VarEntity:     about.Vars(),
		VarTarget:     map[string]any{"id": target.ID, "address": target.Address, "user": target.User},
	}
	if hypothesis == nil {
		vars[VarHypothesis] = expr.Unknown{Why: "no diagnosis led to this run, so it must be given"}
	}
	return vars
}

func refuseUnknown(rb *Runbook, given map[string]string) []error {
	var errs []error
	known := make([]string, 0, len(rb.Inputs))
	for _, in := range rb.Inputs {
		known = append(known, in.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, name) {
			errs = append(errs, fault.New(fault.Invalid, "runbook %s has no input %q", rb.Name, name).
				WithField("inputs."+name).WithHint("%s", suggestion(name, known)))
		}
	}
	return errs
}

type binder struct {
	given map[string]string
	vars  map[string]any

	language *expr.Language
}

// value returns the value of one input. The error follows the input's name.
func (b binder) value(earlier []Input, in Input) (any, error) {
	text, given := b.given[in.Name]
	switch {
	case given && in.Type.List():
		return nil, fmt.Errorf("is of type %s, which only the inventory gives", in.Type)
	case given:
		return checked(in, text)
	case in.From != "":
		v, err := b.derived(earlier, in)
		if err != nil {
			return nil, err
		}
		if in.Type.List() {
			return b.declared(v)
		}
		return checked(in, textOf(v))
	case in.Required:
		return nil, errors.New("is missing")
	}
	return checked(in, in.Default)
}

func checked(in Input, text string) (any, error) {
	v, err := parseValue(in.Type, text)
	if err == nil {
		err = checkMax(in, v)
	}
	return v, err
}

func (b binder) derived(earlier []Input, in Input) (any, error) {
	env, err := newEnv(b.language, ScopeFrom, readable{inputs: earlier})
	if err != nil {
		return nil, err
	}
	program, err := env.Compile(in.From, in.Type.exprType())
	if err != nil {
		return nil, err
	}
	v, err := program.Eval(context.Background(), b.vars) // pure, and bounded by the cost limit
	if err != nil {
		return nil, fmt.Errorf("cannot be told from %s: %w", in.From, err) //nolint:revive // it follows "input unit"
	}
	return v, nil
}

// textOf writes a value of an expression as a person would, so that there is
// one check for all.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case time.Duration:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// declared accepts a list only when the entity declares it. An expression
// could build a list out of what a signal said; it would be an argv by a
// stranger.
func (b binder) declared(v any) (any, error) {
	list, ok := stringList(v)
	if !ok {
		return nil, errors.New("is not a list of strings")
	}
	if !holdsList(b.vars[VarEntity], list) {
		return nil, fmt.Errorf("is [%s], which is not a list that the inventory gives for this entity", strings.Join(list, ", "))
	}
	for _, s := range list {
		if strings.ContainsRune(s, 0) {
			return nil, errors.New("holds a zero byte")
		}
	}
	out := make([]any, 0, len(list))
	for _, s := range list {
		out = append(out, s)
	}
	return out, nil
}

func stringList(v any) ([]string, bool) {
	items, ok := v.([]any)
	if !ok {
		return nil, false
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}

// holdsList looks for the list anywhere inside v.
func holdsList(v any, list []string) bool {
	switch v := v.(type) {
	case []any:
		if have, ok := stringList(v); ok && slices.Equal(have, list) {
			return true
		}
		return slices.ContainsFunc(v, func(item any) bool { return holdsList(item, list) })
	case map[string]any:
		for _, item := range v {
			if holdsList(item, list) {
				return true
			}
		}
	}
	return false
}

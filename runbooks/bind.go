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
	values, bound := bindAll(rb, given, vars)
	shown = map[string]string{}
	errs := refuseUnknown(rb, given)
	for _, in := range bound {
		if in.Problem != "" {
			errs = append(errs, fault.New(fault.Invalid, "input %s %s", in.Name, in.Problem).WithField("inputs."+in.Name))
			continue
		}
		shown[in.Name] = in.Value
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	return values, shown, nil
}

// BoundInput is an input with the value that it has, for forms.
type BoundInput struct {
	Input          // with the choices that an expression gives filled in
	Value   string // what a person gave, or what it has when nobody gives it; "" with a problem
	Problem string // why it has no value, behind its name: "is missing"
}

// PreviewInputs says of every input which value it would have, and of those
// without one why, as BindInputs would refuse it. The error names what is given
// and is no input, of kind Invalid; the inputs are there all the same.
func PreviewInputs(rb *Runbook, given map[string]string, vars map[string]any) ([]BoundInput, error) {
	_, bound := bindAll(rb, given, vars)
	return bound, errors.Join(refuseUnknown(rb, given)...)
}

func bindAll(rb *Runbook, given map[string]string, vars map[string]any) (map[string]any, []BoundInput) {
	values, bound := map[string]any{}, make([]BoundInput, 0, len(rb.Inputs))
	b := binder{given: given, vars: map[string]any{}, language: rb.spoken()}
	maps.Copy(b.vars, vars)
	b.vars[VarInputs] = values
	for i, in := range rb.Inputs {
		earlier := rb.Inputs[:i]
		var err error
		if in.ChoicesFrom != "" {
			in.Choices, err = b.choices(earlier, in)
		}
		var value any
		if err == nil {
			value, err = b.value(earlier, in)
		}
		if err != nil {
			// Later inputs may read this one; they then say that it is not known.
			values[in.Name] = expr.Unknown{Why: "input " + in.Name + " has no value"}
			bound = append(bound, BoundInput{Input: in, Problem: err.Error()})
			continue
		}
		values[in.Name] = value
		bound = append(bound, BoundInput{Input: in, Value: showValue(value)})
	}
	return values, bound
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

// checked reads a value and holds it to the bounds of its input.
func checked(in Input, text string) (any, error) {
	if strings.HasPrefix(text, SecretPrefix) {
		return nil, fmt.Errorf("is %q; inputs stand in plans and reports, and are no way to a secret", text)
	}
	v, err := parseValue(in.Type, text)
	for _, check := range []func(Input, any) error{checkMax, checkPattern, checkChoice} {
		if err == nil {
			err = check(in, v)
		}
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// choices evaluates what gives the only values, each read as the input's type.
func (b binder) choices(earlier []Input, in Input) ([]string, error) {
	v, err := b.eval(earlier, in.ChoicesFrom, expr.List)
	if err != nil {
		return nil, fmt.Errorf("has choices that cannot be told from %s: %w", in.ChoicesFrom, err)
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("has choices that are no list: %s", in.ChoicesFrom)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("has nothing to choose from: %s is empty for this host", in.ChoicesFrom)
	}
	choices := make([]string, 0, len(list))
	for _, item := range list {
		value, err := parseValue(in.Type, textOf(item))
		if err != nil {
			return nil, fmt.Errorf("has a choice in %s that %w", in.ChoicesFrom, err)
		}
		choices = append(choices, showValue(value))
	}
	return choices, nil
}

func (b binder) derived(earlier []Input, in Input) (any, error) {
	v, err := b.eval(earlier, in.From, in.Type.exprType())
	if err != nil {
		return nil, fmt.Errorf("cannot be told from %s: %w", in.From, err) //nolint:revive // it follows "input unit"
	}
	return v, nil
}

func (b binder) eval(earlier []Input, text string, t expr.Type) (any, error) {
	env, err := newEnv(b.language, ScopeFrom, readable{inputs: earlier})
	if err != nil {
		return nil, err
	}
	program, err := env.Compile(text, t)
	if err != nil {
		return nil, err
	}
	return program.Eval(context.Background(), b.vars) // pure, and bounded by the cost limit
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

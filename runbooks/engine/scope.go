package engine

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// scope answers a runbook's expressions on its target. Probes are read again
// each time an expression uses them.
type scope struct {
	rb     *runbooks.Runbook
	runner remote.Runner
	probes ProbeReader
	specs  runbooks.ProbeSpecs
	vars   map[string]any // inputs, hypothesis, entity, target

	budgets []entity.Budget // of the target

	conditions, outcomes, templates *expr.Env
}

func newScope(r remote.Runner, b Binding, d Deps, inputs map[string]any) (*scope, error) {
	s := &scope{rb: b.Runbook, runner: r, probes: d.Probes, specs: d.Specs, vars: b.vars(), budgets: b.Target.Budgets}
	s.vars[runbooks.VarInputs] = inputs
	for kind, env := range map[runbooks.Scope]**expr.Env{
		runbooks.ScopeCondition: &s.conditions, runbooks.ScopeOutcome: &s.outcomes, runbooks.ScopeTemplate: &s.templates,
	} {
		var err error
		if *env, err = b.Runbook.Env(kind, d.Specs); err != nil {
			return nil, fmt.Errorf("declare the names of runbook %s: %w", b.Runbook.Name, err)
		}
	}
	return s, nil
}

// ask answers a condition: require, if.
func (s *scope) ask(ctx context.Context, that string) Reading {
	return s.answer(ctx, s.conditions, that, s.vars)
}

// askOfStep answers an expression that may read the step: verify, repeat.
func (s *scope) askOfStep(ctx context.Context, that string, startedAt time.Time) Reading {
	vars := maps.Clone(s.vars)
	vars[runbooks.VarStep] = map[string]any{"started_at": startedAt}
	return s.answer(ctx, s.outcomes, that, vars)
}

func (s *scope) answer(ctx context.Context, env *expr.Env, that string, vars map[string]any) Reading {
	program, err := env.Compile(that, expr.Bool)
	if err != nil {
		return Unknown(fmt.Sprintf("%s: %v", that, err)) // Parse has compiled it, so the probes have changed since
	}
	vars = maps.Clone(vars)
	s.readProbes(ctx, program.Vars(), vars)
	truth, why := program.Ask(ctx, vars)
	return s.describe(that, truth, why, vars)
}

// readProbes puts a fresh reading of each named probe into vars.
func (s *scope) readProbes(ctx context.Context, names []string, vars map[string]any) {
	for _, use := range s.rb.Probes {
		if !slices.Contains(names, use.Name) {
			continue
		}
		args, err := use.Args(ctx, s.templates, s.templateVars())
		var value map[string]any
		if err == nil {
			value, err = s.probes.Read(ctx, s.runner, use.Probe, args)
		}
		if err != nil {
			vars[use.Name] = expr.Unknown{Why: err.Error()}
			continue
		}
		vars[use.Name] = value
	}
}

// render fills in a template.
func (s *scope) render(ctx context.Context, text string) (string, error) {
	t, err := s.templates.CompileTemplate(text)
	if err != nil {
		return "", err
	}
	return t.Render(ctx, s.templateVars())
}

// templateVars leaves the hypothesis out: what it says reaches a template only
// through a typed input.
func (s *scope) templateVars() map[string]any {
	vars := maps.Clone(s.vars)
	delete(vars, runbooks.VarHypothesis)
	return vars
}

// renderList fills in a list of templates. One element gives one element,
// whatever the values hold; only a list input that stands alone gives several.
func (s *scope) renderList(ctx context.Context, list []string) ([]string, error) {
	return renderList(ctx, s.templates, list, s.templateVars())
}

func renderList(ctx context.Context, env *expr.Env, list []string, vars map[string]any) ([]string, error) {
	out := []string{}
	for _, text := range list {
		t, err := env.CompileTemplate(text)
		if err != nil {
			return nil, err
		}
		more, err := RenderElement(ctx, t, vars)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// RenderElement fills in one element of an argument or pattern list. A
// template that is nothing but an expression which gives a list (an argv or
// patterns input) stands for all of its elements, which must be strings.
func RenderElement(ctx context.Context, t *expr.Template, vars map[string]any) ([]string, error) {
	only, ok := t.Only()
	if ok {
		value, err := only.Eval(ctx, vars)
		if err != nil {
			return nil, err
		}
		if list, ok := value.([]any); ok {
			return stringsOf(t.Source(), list)
		}
	}
	text, err := t.Render(ctx, vars)
	return []string{text}, err
}

func stringsOf(source string, list []any) ([]string, error) {
	out := make([]string, 0, len(list))
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("%s holds a %T, not only strings", source, item)
		}
		out = append(out, text)
	}
	return out, nil
}

// describe is an answer with the values that it rests on, for people.
func (s *scope) describe(that string, truth expr.Truth, why string, vars map[string]any) Reading {
	text := that + " is " + strings.ReplaceAll(string(truth), "_", " ")
	if truth == expr.CannotTell {
		return Unknown(strings.Replace(text, "is cannot tell", "cannot be told", 1) + ": " + why)
	}
	values := s.values(that, vars)
	if values != "" {
		text += " (" + values + ")"
	}
	return Reading{Truth: truth, Text: text, Values: values}
}

// values are the readings and inputs that an expression names: "used.percent = 91".
func (s *scope) values(that string, vars map[string]any) string {
	path := regexp.MustCompile(`\b([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)`)
	var values []string
	for _, m := range path.FindAllStringSubmatch(that, -1) {
		of, ok := vars[m[1]].(map[string]any)
		field, told := s.field(m[1], m[2])
		if value, has := of[m[2]]; ok && told && has && scalar(value) {
			values = append(values, m[0]+" = "+inUnit(value, field.Unit))
		}
	}
	slices.Sort(values)
	return strings.Join(slices.Compact(values), ", ")
}

// field returns what is declared of name.field; ok is false when it does not
// belong into a sentence: what readings and inputs hold does.
func (s *scope) field(name, field string) (declared expr.Field, ok bool) {
	fields := s.rb.InputFields()
	if name != runbooks.VarInputs {
		i := slices.IndexFunc(s.rb.Probes, func(p runbooks.ProbeUse) bool { return p.Name == name })
		if i < 0 {
			return expr.Field{}, false
		}
		_, fields, _ = s.specs.Fields(s.rb.Probes[i].Probe)
	}
	if i := slices.IndexFunc(fields, func(f expr.Field) bool { return f.Name == field }); i >= 0 {
		return fields[i], true
	}
	return expr.Field{}, true
}

// inUnit shows a value to people.
func inUnit(value any, unit expr.Unit) string {
	if n, ok := value.(int64); ok && unit == expr.Bytes {
		return expr.ByteText(n)
	}
	return fmt.Sprint(value)
}

func scalar(v any) bool {
	switch v.(type) {
	case string, bool, int, int64, float64, time.Time, time.Duration:
		return true
	}
	return false
}

package engine

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
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
	vars   map[string]any // inputs, hypothesis, entity, target, each

	budgets []entity.Budget // of the target

	each   []runbooks.Each // the foreach blocks around
	envs   environments    // for them
	shared *shared
	found  *outputs
}

// environments are those of the scopes of one place in the flow.
type environments map[runbooks.Scope]*expr.Env

// shared is what all places of a run have together. It is safe for concurrent
// use.
type shared struct {
	mu       sync.Mutex // guards below
	envs     map[string]environments
	programs map[compiled]*expr.Program
}

// outputs are those of the steps of a runbook that have given some. It is safe
// for concurrent use.
type outputs struct {
	mu     sync.Mutex // guards below
	values map[string]any
}

// compiled is an expression in an environment.
type compiled struct {
	env  *expr.Env
	text string
	want expr.Type
}

// environments returns those of a place, made once for the names of its elements.
func (sh *shared) environments(rb *runbooks.Runbook, specs runbooks.ProbeSpecs, each []runbooks.Each) (environments, error) {
	key := fmt.Sprint(rb.Digest, each)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if envs, ok := sh.envs[key]; ok {
		return envs, nil
	}
	envs := environments{}
	for _, kind := range []runbooks.Scope{runbooks.ScopeCondition, runbooks.ScopeOutcome, runbooks.ScopeTemplate} {
		env, err := rb.Env(kind, specs, each)
		if err != nil {
			return nil, fmt.Errorf("declare the names of runbook %s: %w", rb.Name, err)
		}
		envs[kind] = env
	}
	sh.envs[key] = envs
	return envs, nil
}

// compile compiles an expression once for all places and times.
func (sh *shared) compile(env *expr.Env, text string, want expr.Type) (*expr.Program, error) {
	key := compiled{env, text, want}
	sh.mu.Lock()
	program, ok := sh.programs[key]
	sh.mu.Unlock()
	if ok {
		return program, nil
	}
	program, err := env.Compile(text, want)
	if err != nil {
		return nil, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.programs[key] = program
	return program, nil
}

// give remembers what a step has found out.
func (o *outputs) give(found map[string]any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.Copy(o.values, found)
}

// all returns the outputs of all steps, Unknown where there is none so far.
func (o *outputs) all(fields []expr.Field) map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make(map[string]any, len(fields))
	for _, f := range fields {
		v, ok := o.values[f.Name]
		if !ok {
			v = expr.Unknown{Why: f.Doc + ", which has not given it"}
		}
		out[f.Name] = v
	}
	return out
}

// newScope returns the scope of a runbook, with what its caller shares, or nil.
func newScope(r remote.Runner, b Binding, d Deps, inputs map[string]any, with *shared) (*scope, error) {
	if with == nil {
		with = &shared{envs: map[string]environments{}, programs: map[compiled]*expr.Program{}}
	}
	s := &scope{
		rb: b.Runbook, runner: r, probes: d.Probes, specs: d.Specs, vars: b.vars(), budgets: b.Target.Budgets,
		shared: with, found: &outputs{values: map[string]any{}},
	}
	s.vars[runbooks.VarInputs] = inputs
	var err error
	s.envs, err = s.shared.environments(s.rb, s.specs, nil)
	return s, err
}

// ask answers a condition: require, if.
func (s *scope) ask(ctx context.Context, that string) Reading {
	return s.answer(ctx, runbooks.ScopeCondition, that, s.vars)
}

// readsOutputs reports whether a condition depends on what steps find out.
func (s *scope) readsOutputs(that string) bool {
	program, err := s.shared.compile(s.envs[runbooks.ScopeCondition], that, expr.Bool)
	return err == nil && slices.Contains(program.Vars(), runbooks.VarOutputs)
}

// value evaluates an expression of a condition's scope that gives something else
// than a truth.
func (s *scope) value(ctx context.Context, text string, want expr.Type) (any, error) {
	program, err := s.shared.compile(s.envs[runbooks.ScopeCondition], text, want)
	if err != nil {
		return nil, err
	}
	vars := maps.Clone(s.vars)
	s.readProbes(ctx, program.Vars(), vars)
	return program.Eval(ctx, vars)
}

// result evaluates the outputs of a step.
func (s *scope) result(ctx context.Context, step runbooks.Step, result map[string]any) map[string]any {
	out := map[string]any{}
	env, err := s.rb.ResultEnv(step, s.specs)
	vars := s.templateVars()
	vars[runbooks.VarResult] = result
	for _, o := range step.Outputs {
		if err != nil {
			out[o.Name] = expr.Unknown{Why: err.Error()}
			continue
		}
		out[o.Name] = o.Value(ctx, env, vars)
	}
	return out
}

// askOfStep answers an expression that may read the step: verify, repeat.
func (s *scope) askOfStep(ctx context.Context, that string, startedAt time.Time) Reading {
	vars := maps.Clone(s.vars)
	vars[runbooks.VarStep] = map[string]any{"started_at": startedAt}
	return s.answer(ctx, runbooks.ScopeOutcome, that, vars)
}

func (s *scope) answer(ctx context.Context, kind runbooks.Scope, that string, vars map[string]any) Reading {
	program, err := s.shared.compile(s.envs[kind], that, expr.Bool)
	if err != nil {
		return Unknown(fmt.Sprintf("%s: %v", that, err)) // Parse has compiled it, so the probes have changed since
	}
	vars = maps.Clone(vars)
	s.readProbes(ctx, program.Vars(), vars)
	truth, why := program.Ask(ctx, vars)
	return s.describe(that, truth, why, vars)
}

// readProbes puts what was found out, and a fresh reading of each named probe,
// into vars.
func (s *scope) readProbes(ctx context.Context, names []string, vars map[string]any) {
	if slices.Contains(names, runbooks.VarOutputs) {
		vars[runbooks.VarOutputs] = s.found.all(s.rb.OutputFields())
	}
	for _, use := range s.rb.Probes {
		if !slices.Contains(names, use.Name) {
			continue
		}
		value, err := s.readProbe(ctx, use)
		if err != nil {
			vars[use.Name] = expr.Unknown{Why: err.Error()}
			continue
		}
		vars[use.Name] = value
	}
}

func (s *scope) readProbe(ctx context.Context, use runbooks.ProbeUse) (map[string]any, error) {
	args, err := use.Args(ctx, s.envs[runbooks.ScopeTemplate], s.templateVars())
	if err != nil {
		return nil, err
	}
	return s.probes.Read(ctx, s.runner, use.Probe, args)
}

// probe reads the probe of a local name.
func (s *scope) probe(ctx context.Context, name string) (map[string]any, error) {
	for _, use := range s.rb.Probes {
		if use.Name == name {
			return s.readProbe(ctx, use)
		}
	}
	return nil, fault.New(fault.Internal, "the runbook has no probe %q", name)
}

// render fills in a template.
func (s *scope) render(ctx context.Context, text string) (string, error) {
	t, err := s.envs[runbooks.ScopeTemplate].CompileTemplate(text)
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
	return renderList(ctx, s.envs[runbooks.ScopeTemplate], list, s.templateVars())
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

package diagnostics

import (
	"errors"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// scalar is text from a YAML file that knows its place.
type scalar struct {
	text string
	node *yamlx.Node
}

// DecodeYAML implements yamlx.Decoder.
func (s *scalar) DecodeYAML(n *yamlx.Node) error {
	s.node = n
	return n.Decode(&s.text)
}

// decodeFile reads a file that is one mapping.
func decodeFile(file string, data []byte, into any) (*yamlx.Node, error) {
	root, err := yamlx.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if root.Kind() != yamlx.Mapping {
		return nil, root.Errorf("a mapping expected, not %s", root.Kind())
	}
	return root, root.Decode(into)
}

// authoredReadings is a mapping of names to probes, in the order of the file.
type authoredReadings []authoredReading

type authoredReading struct {
	name  string
	node  *yamlx.Node
	Probe scalar            `yaml:"probe,required"`
	With  map[string]scalar `yaml:"with"`
}

// DecodeYAML implements yamlx.Decoder.
func (r *authoredReadings) DecodeYAML(n *yamlx.Node) error {
	if n.Kind() != yamlx.Mapping {
		return n.Errorf("a mapping of names to probes expected")
	}
	var problems []error
	for _, name := range n.Keys() {
		value, _ := n.Get(name)
		key, _ := n.Key(name)
		one := authoredReading{name: name, node: key}
		problems = append(problems, value.Decode(&one))
		*r = append(*r, one)
	}
	return errors.Join(problems...)
}

// loader gathers the mistakes of one file, so that all are reported at once.
type loader struct {
	root     *yamlx.Node
	probes   *ProbeSet
	problems []error
	language expr.Language
}

// report notes a mistake at the node; what was left empty has no node, and is
// reported at the beginning of the file.
func (l *loader) report(n *yamlx.Node, format string, args ...any) {
	if n == nil {
		n = l.root
	}
	l.problems = append(l.problems, n.Errorf(format, args...))
}

// check reports the sentence at the node unless it is so.
func (l *loader) check(ok bool, n *yamlx.Node, format string, args ...any) {
	if !ok {
		l.report(n, format, args...)
	}
}

// at returns the value of a key of the file, or the whole file when the key is
// missing, to point at.
func (l *loader) at(key string) *yamlx.Node {
	if n, ok := l.root.Get(key); ok {
		return n
	}
	return l.root
}

// misplaced moves a mistake inside an expression to its place in the file.
func (l *loader) misplaced(s scalar, err error) {
	e, ok := errors.AsType[*expr.Error](err)
	if !ok {
		l.report(s.node, "%v", err)
		return
	}
	out := s.node.ErrorWithin(e.Line, e.Column, e.Message)
	if e.Hint != "" {
		out = out.WithHint("%s", e.Hint)
	}
	l.problems = append(l.problems, out)
}

// env declares what expressions may read.
func (l *loader) env(fields []expr.Field, more ...[]expr.Field) *expr.Env {
	env, err := l.language.NewEnv(slices.Concat(append([][]expr.Field{fields}, more...)...))
	if err != nil {
		l.report(l.root, "%v", err)
		return nil
	}
	return env
}

func (l *loader) program(env *expr.Env, s scalar, want expr.Type) *expr.Program {
	if env == nil || s.node == nil {
		return nil // the reason is reported already
	}
	p, err := env.Compile(s.text, want)
	if err != nil {
		l.misplaced(s, err)
		return nil
	}
	return p
}

func (l *loader) template(env *expr.Env, s scalar) *expr.Template {
	if env == nil || s.node == nil {
		return nil
	}
	t, err := env.CompileTemplate(s.text)
	if err != nil {
		l.misplaced(s, err)
		return nil
	}
	return t
}

// readings compiles what is read under which names; taken are the names that
// mean something else already.
func (l *loader) readings(authored authoredReadings, env *expr.Env, taken []string) []reading {
	var out []reading
	for _, a := range authored {
		if slices.Contains(taken, a.name) {
			l.report(a.node, "the name %q means something else", a.name)
			continue
		}
		if a.Probe.node == nil {
			continue
		}
		probe, err := l.probes.Find(a.Probe.text)
		if err != nil {
			e := a.Probe.node.Errorf("%v", err)
			if f, ok := errors.AsType[*fault.Error](err); ok && f.Hint != "" {
				e = e.WithHint("%s", f.Hint)
			}
			l.problems = append(l.problems, e)
			continue
		}
		spec := probe.Spec()
		out = append(out, reading{name: a.name, probe: spec.Name, outputs: spec.Outputs, with: l.arguments(a, probe, env)})
	}
	return out
}

// arguments compiles the arguments of a probe, in the order of its inputs.
func (l *loader) arguments(a authoredReading, probe Probe, env *expr.Env) []argument {
	var out []argument
	spec := probe.Spec()
	known := make([]string, len(spec.Inputs))
	for i, in := range spec.Inputs {
		known[i] = in.Name
		s, ok := a.With[in.Name]
		if !ok {
			l.check(!in.Required, a.node, "probe %s needs %q", spec.Name, in.Name)
			continue
		}
		out = append(out, l.argument(probe, in, s, env))
	}
	for name, s := range a.With {
		if !slices.Contains(known, name) {
			e := s.node.Errorf("probe %s has no input %q", spec.Name, name)
			if near := yamlx.Suggest(name, known); near != "" {
				e = e.WithHint("did you mean %q?", near)
			}
			l.problems = append(l.problems, e)
		}
	}
	return out
}

func (l *loader) argument(probe Probe, in expr.Field, s scalar, env *expr.Env) argument {
	inner, whole := strings.CutPrefix(s.text, "${")
	inner, ends := strings.CutSuffix(inner, "}")
	if whole && ends && env != nil {
		if p, err := env.Compile(inner, expr.List); err == nil {
			return argument{name: in.Name, list: p}
		}
	}
	text := l.template(env, s)
	if text != nil {
		if constant, ok := text.Constant(); ok {
			if err := checkArgument(probe, in, constant); err != nil {
				l.report(s.node, "%v", err)
			}
		}
	}
	return argument{name: in.Name, text: text}
}

// asFields declares the readings to expressions.
func asFields(readings []reading) []expr.Field {
	fields := make([]expr.Field, len(readings))
	for i, r := range readings {
		fields[i] = expr.Field{Name: r.name, Type: expr.Object, Doc: r.probe, Elem: r.outputs}
	}
	return fields
}

func readingNames(readings []reading) []string {
	names := make([]string, len(readings))
	for i, r := range readings {
		names[i] = r.name
	}
	return names
}

// err returns all mistakes, or nil.
func (l *loader) err() error { return errors.Join(l.problems...) }

package runbooks

import (
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// Decoder turns an action's part of a step into the action's own typed form,
// when the runbook is loaded. A new action is one package with a Decoder, and
// one line in the list of actions.
//
// Duties: refuse unknown fields, undefined names and wrong types with the
// position in the file (n.Errorf); compile every template with the context, so
// that nothing can be undefined at run time; touch no server.
type Decoder interface {
	// Name is the key of the action in a step: "run", "unit", "cleanup".
	Name() string
	// Decode reads the value under that key.
	Decode(n *yamlx.Node, c *StepContext) (Decoded, error)
}

// Verbatim is an extra ability of a Decoder: an action some of whose values are
// source text of another language, in which ${ may mean something of its own.
type Verbatim interface {
	// Verbatim returns the keys of the action's part whose values are no
	// templates, or templates that read more names than others do. The decoder
	// refuses "${" in them, so that no author takes them for some (RuleNoShell),
	// or compiles them with StepContext.Template.
	Verbatim() []string
}

// SecretTaker is an extra ability of a Decoder: an action that hands secrets to
// what it starts.
type SecretTaker interface {
	// SecretPlaces returns the keys under which a reference to a secret may stand,
	// from the outside in, joined by dots; * is any key: "env.*". The decoder tells
	// a reference from other values with StepContext.Secret.
	SecretPlaces() []string
}

// Decoded is what an action says about one step that uses it.
type Decoded struct {
	With             any      // the action's own form; becomes Step.With
	Commands         []string // in place of Deed, of an action that starts programs: what they amount to; see CommandDeeds
	Deed             string   // what of all that the action can do this use does, in a word: "restarted" of unit; "" when it can do one thing
	Effect           Effect   // of this use, which the step may raise and not lower; "" is Write
	MayOnlyRead      bool     // the one exception: this use surely changes nothing, so that the step may say effect: read
	OwnVerify        bool     // the action checks its own result, so that the step needs no verify.that
	OwnUndo          bool     // the action can take its own change back
	DestroysEvidence bool     // restart, kill, truncate, delete: the step must say what it preserves
	Repeat           Repeat   // what to do when the outcome is unknown, unless the step says otherwise
}

// StepContext is what a decoder knows about the runbook around its step.
type StepContext struct {
	StepID string
	Env    *expr.Env // what templates may read: inputs, entity and target; every scalar of the part was checked in it before
	Inputs []Input
	Each   []Each // the foreach blocks around the step

	language *expr.Language
	secrets  []string // that the step takes
}

// Secret returns the name of the secret to which a scalar refers, under a key of
// SecretTaker; false for every other value. The step then takes it.
func (c *StepContext) Secret(n *yamlx.Node) (name string, ok bool) {
	text, _ := n.Scalar()
	name, ok, err := ParseSecret(text)
	if ok = ok && err == nil; ok && !slices.Contains(c.secrets, name) {
		c.secrets = append(c.secrets, name)
	}
	return name, ok
}

// Template compiles a scalar under a Verbatim key that reads, beside what every
// template reads, names of the action's own. To render it, the action adds their
// values to those of the engine. The error has the position.
func (c *StepContext) Template(n *yamlx.Node, own ...expr.Field) (*expr.Template, error) {
	text, ok := n.Scalar()
	if !ok {
		return nil, n.Errorf("a value is expected").WithRule(RuleExpression)
	}
	env, err := c.language.NewEnv(append(readable{inputs: c.Inputs, each: c.Each}.fields(ScopeTemplate), own...))
	if err != nil {
		return nil, n.Errorf("%v", err).WithRule(RuleExpression)
	}
	if _, list := c.ListInput(text); !list {
		if _, err := env.CompileTemplate(text + " "); err != nil { // as parser.template does: a part must give text
			return nil, expressionError(n, err)
		}
	}
	t, err := env.CompileTemplate(text)
	if err != nil {
		return nil, expressionError(n, err)
	}
	return t, nil
}

// Text compiles a value of the action's part that gives one text. check, which
// may be nil, judges it now when nothing is to be filled in; the action asks it
// again of what was filled in. The error has the position.
func (c *StepContext) Text(n *yamlx.Node, check func(text string) error) (*expr.Template, error) {
	text, ok := n.Scalar()
	if !ok {
		return nil, n.Errorf("one value is expected")
	}
	t, err := c.Env.CompileTemplate(text)
	if err != nil {
		return nil, n.Errorf("%v", err)
	}
	if constant, ok := t.Constant(); ok && check != nil {
		if err := check(constant); err != nil {
			return nil, n.Errorf("%v", err)
		}
	}
	return t, nil
}

// Input returns the declared input of the name.
func (c *StepContext) Input(name string) (Input, bool) {
	for _, in := range c.Inputs {
		if in.Name == name {
			return in, true
		}
	}
	return Input{}, false
}

// ListInput returns the argv or patterns input that a scalar consists of: for
// "${inputs.start}" the input start. Such a scalar stands for all elements of
// the list; every other scalar is one element, whatever its values hold.
func (c *StepContext) ListInput(scalar string) (Input, bool) {
	inside, opened := strings.CutPrefix(scalar, "${")
	inside, closed := strings.CutSuffix(inside, "}")
	name, ok := strings.CutPrefix(strings.TrimSpace(inside), "inputs.")
	if !opened || !closed || !ok {
		return Input{}, false
	}
	in, ok := c.Input(name)
	return in, ok && in.Type.List()
}

// List reports whether values of the type are lists of strings.
func (t InputType) List() bool { return t == InputArgv || t == InputPatterns }

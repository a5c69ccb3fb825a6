// Package script is the action that gives a script to an interpreter. The
// script is constant text on the interpreter's standard input; values reach it
// as environment variables and in no other way, secrets in variables that stand
// in no list of processes. What it does is known to nobody
// but its author: the runbook says how it is verified and undone, and it is
// never repeated.
package script

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

const (
	maxBodyBytes = 64 << 10 // a longer script is a program: install it, and run it
	maxVariables = 64
)

// Action is the action "script".
type Action struct{}

var (
	_ engine.Action        = Action{}
	_ engine.OnlyFiles     = Action{}
	_ runbooks.Verbatim    = Action{}
	_ runbooks.SecretTaker = Action{}
)

type with struct {
	argv []string
	body string
	env  map[string]*expr.Template

	secrets map[string]string // their names by variables
}

// saved is what was planned.
type saved struct {
	Argv []string          `json:"argv"`
	Body string            `json:"body"`
	Env  map[string]string `json:"env"`

	Secrets map[string]string `json:"secrets,omitempty"` // their names by variables
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "script" }

// ChangesOnlyFiles implements engine.OnlyFiles. What else its
// program does fails in a rehearsal, and can be seen to.
func (Action) ChangesOnlyFiles() {}

// Verbatim implements runbooks.Verbatim.
func (Action) Verbatim() []string { return []string{"body"} }

// SecretPlaces implements runbooks.SecretTaker.
func (Action) SecretPlaces() []string { return []string{"env.*"} }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Interpreter *yamlx.Node            `yaml:"interpreter,required"`
		Body        *yamlx.Node            `yaml:"body,required"`
		Env         map[string]*yamlx.Node `yaml:"env"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	w := with{env: map[string]*expr.Template{}, secrets: map[string]string{}}
	var err error
	if w.argv, err = interpreter(raw.Interpreter); err != nil {
		return runbooks.Decoded{}, err
	}
	if w.body, err = body(raw.Body); err != nil {
		return runbooks.Decoded{}, err
	}
	if len(raw.Env) > maxVariables {
		return runbooks.Decoded{}, n.Errorf("%d variables, more than %d", len(raw.Env), maxVariables)
	}
	for _, name := range slices.Sorted(maps.Keys(raw.Env)) {
		node := raw.Env[name]
		if why := refusedVariable(name); why != "" {
			return runbooks.Decoded{}, node.Errorf("variable %q: %s", name, why)
		}
		text, ok := node.Scalar()
		if !ok {
			return runbooks.Decoded{}, node.Errorf("the value of %s is a scalar", name)
		}
		if secret, ok := c.Secret(node); ok {
			w.secrets[name] = secret
			continue
		}
		if w.env[name], err = c.Env.CompileTemplate(text); err != nil {
			return runbooks.Decoded{}, node.Errorf("%v", err)
		}
	}
	return runbooks.Decoded{With: w, Commands: append([]string{"script"}, runbooks.ScriptDeeds(w.body)...), Effect: runbooks.Write}, nil
}

// body reads the script, which is constant.
func body(n *yamlx.Node) (string, error) {
	text, ok := n.Scalar()
	switch {
	case !ok || strings.TrimSpace(text) == "":
		return "", n.Errorf("body is the text of the script")
	case len(text) > maxBodyBytes:
		return "", n.Errorf("the script has %d bytes, more than %d", len(text), maxBodyBytes).WithHint("install it as a program, and start that with run")
	case strings.Contains(text, "\r"):
		return "", n.Errorf("the script has a carriage return, which an interpreter takes for a part of a word")
	}
	if before, _, found := strings.Cut(text, "${"); found {
		line := 1 + strings.Count(before, "\n")
		return "", n.Errorf("line %d of the script has ${, and no value may become source text", line).WithRule(runbooks.RuleNoShell).
			WithHint(`give the value in env, as in env: {NAME: "${inputs.x}"}, and read it as "$NAME"; the shell's own ${NAME} is written "$NAME" as well, so that nobody takes one for the other`)
	}
	return text, nil
}

// Plan implements engine.Action. What a script changes cannot be known before;
// the script itself is shown, and so is part of what is approved.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by script", env.Step.ID)
	}
	s := saved{Argv: w.argv, Body: w.body, Env: map[string]string{}, Secrets: w.secrets}
	for _, name := range slices.Sorted(maps.Keys(w.env)) {
		value, err := w.env[name].Render(ctx, env.Vars)
		if err != nil {
			return engine.Change{}, err
		}
		if !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0 {
			return engine.Change{}, fault.New(fault.Invalid, "the value of %s is not text: %q", name, value)
		}
		s.Env[name] = value
	}
	if strings.HasPrefix(s.Argv[0], "/") {
		if _, err := env.Runner.Stat(ctx, s.Argv[0]); err != nil {
			return engine.Change{}, fmt.Errorf("look for the interpreter: %w", err)
		}
	}
	body, err := json.Marshal(s)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the script")
	}
	argv, _ := launch(s.Argv, s.Body)
	return engine.Change{Argv: argv, Diff: s.diff(), Saved: body}, nil
}

// diff shows the variables and the script. A value is quoted, so that it cannot
// pass for a line of the script, nor for a secret.
func (s saved) diff() string {
	var b strings.Builder
	b.WriteString("--- script\n")
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		fmt.Fprintf(&b, "$%s = %q\n", name, s.Env[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		fmt.Fprintf(&b, "$%s = %s%s\n", name, runbooks.SecretPrefix, s.Secrets[name])
	}
	for line := range strings.Lines(s.Body) {
		fmt.Fprintf(&b, "+%s\n", strings.TrimSuffix(line, "\n"))
	}
	return b.String()
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return engine.Outcome{}, fault.Wrap(fault.Internal, err, "read the script that was planned")
	}
	argv, stdin := launch(s.Argv, s.Body)
	cmd := remote.Command{Argv: argv, Stdin: []byte(stdin), Env: s.Env}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		secret, err := env.SecretVariable(ctx, name, s.Secrets[name])
		if err != nil {
			return engine.Outcome{}, err
		}
		cmd.Secrets = append(cmd.Secrets, secret)
	}
	res, err := env.ActWith(ctx, cmd)
	if err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{ExitCode: res.ExitCode, Stdout: res.Stdout, Stderr: res.Stderr}, res.Err()
}

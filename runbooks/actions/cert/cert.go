// Package cert is the action that lets the tool which is configured on a host
// renew a certificate, when it is about to expire, and measures what that tool
// left: another certificate, valid for longer, for the same names, of its key
// and its chain. It issues nothing itself, and does not tell the service that
// uses the certificate: that is a step of its own.
package cert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

const (
	defaultMinValid = 14 * 24 * time.Hour
	maxMinValid     = 366 * 24 * time.Hour
	maxArguments    = 100
)

// Action is the action "cert".
type Action struct{}

var (
	_ engine.Action        = Action{}
	_ engine.Verifier      = Action{}
	_ engine.Witness       = Action{}
	_ engine.SubjectTeller = Action{}
)

type with struct {
	path, key *expr.Template // key is nil when none is given
	renew     []*expr.Template
	minValid  time.Duration
}

// saved is what is known before the step acts.
type saved struct {
	Path     string        `json:"path"`
	Key      string        `json:"key,omitempty"`
	Argv     []string      `json:"argv"`
	MinValid time.Duration `json:"min_valid"`
	Before   reading       `json:"before"`
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "cert" }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Path     *yamlx.Node   `yaml:"path,required"`
		Key      *yamlx.Node   `yaml:"key"`
		Renew    *yamlx.Node   `yaml:"renew,required"`
		MinValid time.Duration `yaml:"min_valid"`
	}
	raw.MinValid = defaultMinValid
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	w := with{minValid: raw.MinValid}
	var errs []error
	template := func(n *yamlx.Node, check func(string) error) *expr.Template {
		t, err := c.Text(n, check)
		if err != nil {
			errs = append(errs, err)
		}
		return t
	}
	w.path = template(raw.Path, checkPath)
	if raw.Key != nil {
		w.key = template(raw.Key, checkPath)
	}
	if raw.MinValid <= 0 || raw.MinValid > maxMinValid {
		errs = append(errs, n.Errorf("min_valid is %s; it must be more than 0 and at most a year", raw.MinValid))
	}
	items := raw.Renew.Items()
	if len(items) == 0 || len(items) > maxArguments {
		return runbooks.Decoded{}, errors.Join(append(errs, raw.Renew.Errorf("renew is the command of the tool, a list of arguments, the program first"))...)
	}
	program, _ := items[0].Scalar()
	if program == "" || strings.HasPrefix(program, "-") || strings.Contains(program, "${") {
		errs = append(errs, items[0].Errorf("the program is constant").WithRule(runbooks.RuleNoShell))
	}
	for _, item := range items {
		w.renew = append(w.renew, template(item, nil))
	}
	if len(errs) > 0 {
		return runbooks.Decoded{}, errors.Join(errs...)
	}
	return runbooks.Decoded{
		With: w, Effect: runbooks.Write, OwnVerify: true,
		Repeat: runbooks.Repeat{Always: true}, // asked first, by DidItHappen
	}, nil
}

func checkPath(name string) error {
	if !path.IsAbs(name) || path.Clean(name) != name || strings.ContainsAny(name, "\x00\n") {
		return fault.New(fault.Invalid, "%q is not a clean absolute path", name)
	}
	return nil
}

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by cert", env.Step.ID)
	}
	s, err := w.render(ctx, env.Vars)
	if err != nil {
		return engine.Change{}, err
	}
	if s.Before, err = read(ctx, env, s.Path); err != nil {
		return engine.Change{}, err
	}
	body, err := json.Marshal(s)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the certificate")
	}
	change := engine.Change{
		Argv: s.Argv, Diff: s.diff(), Saved: body, Verify: s.inWords(),
		Touches: []runbooks.Touch{{Kind: runbooks.TouchFile, Name: s.Path}},
	}
	if s.Key != "" {
		change.Touches = append(change.Touches, runbooks.Touch{Kind: runbooks.TouchFile, Name: s.Key})
	}
	switch got := s.serves(ctx, env, s.Before); got.Truth {
	case expr.True:
		change.Noop, change.Argv, change.Diff, change.Touches = true, nil, "", nil
	case expr.False:
	case expr.CannotTell:
		return engine.Change{}, fault.New(fault.Denied, "whether there is anything to renew cannot be told: %s", got.Text)
	}
	return change, nil
}

func (w with) render(ctx context.Context, vars map[string]any) (saved, error) {
	s := saved{MinValid: w.minValid}
	var err error
	if s.Path, err = w.path.Render(ctx, vars); err == nil {
		err = checkPath(s.Path)
	}
	if err == nil && w.key != nil {
		if s.Key, err = w.key.Render(ctx, vars); err == nil {
			err = checkPath(s.Key)
		}
	}
	for _, t := range w.renew {
		if err != nil {
			break
		}
		var element []string
		element, err = engine.RenderElement(ctx, t, vars)
		s.Argv = append(s.Argv, element...)
	}
	return s, err
}

func (s saved) diff() string {
	return fmt.Sprintf("--- %s, for %s\n-not_after: %s\n+not_after: later, and in more than %s\n",
		s.Path, strings.Join(s.Before.Names, ", "), s.Before.NotAfter.Format(time.RFC3339), yamlx.FormatDuration(s.MinValid))
}

func (s saved) inWords() string {
	text := fmt.Sprintf("%s is a certificate for %s that is valid for more than %s", s.Path, strings.Join(s.Before.Names, ", "), yamlx.FormatDuration(s.MinValid))
	if s.Key != "" {
		text += ", of the key " + s.Key
	}
	return text
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	now, err := read(ctx, env, s.Path)
	if err != nil {
		return engine.Outcome{}, err
	}
	if now.Digest != s.Before.Digest {
		return engine.Outcome{}, fault.New(fault.Denied, "the world drifted: somebody else has renewed %s", s.Path)
	}
	res, err := env.Act(ctx, c.Argv...)
	if err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{ExitCode: res.ExitCode}, res.Err()
}

// Verify implements engine.Verifier.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	now, err := read(ctx, env, s.Path)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	if !c.Noop && now.Digest == s.Before.Digest {
		return engine.Reading{Truth: expr.False, Text: s.Path + " is the certificate that it was"}
	}
	return s.serves(ctx, env, now)
}

// serves reports whether a certificate is what the step wants: valid now and
// for long enough, for the names of the one before, of its key and its chain.
func (s saved) serves(ctx context.Context, env *engine.Env, now reading) engine.Reading {
	text := fmt.Sprintf("%s is valid until %s", s.Path, now.NotAfter.Format(time.RFC3339))
	no := func(format string, args ...any) engine.Reading {
		return engine.Reading{Truth: expr.False, Text: text + ", " + fmt.Sprintf(format, args...)}
	}
	clock := env.Now()
	switch {
	case now.NotBefore.After(clock):
		return no("and not before %s", now.NotBefore.Format(time.RFC3339))
	case now.NotAfter.Sub(clock) <= s.MinValid:
		return no("which is in less than %s", yamlx.FormatDuration(s.MinValid))
	case !slices.Equal(now.Names, s.Before.Names):
		return no("for %s, not %s", strings.Join(now.Names, ", "), strings.Join(s.Before.Names, ", "))
	case now.Broken != "":
		return no("and %s", now.Broken)
	case s.Key == "":
		return engine.Reading{Truth: expr.True, Text: text}
	}
	key, err := readKey(ctx, env, s.Key)
	switch {
	case err != nil:
		return engine.Unknown(fmt.Sprintf("%s, but its key: %v", text, err))
	case key != now.Key:
		return no("and of another key than %s", s.Key)
	}
	return engine.Reading{Truth: expr.True, Text: text + ", of the key " + s.Key}
}

// DidItHappen implements engine.Witness.
func (Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	now, err := read(ctx, env, s.Path)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	if now.Digest == s.Before.Digest {
		return engine.Reading{Truth: expr.False, Text: s.Path + " is the certificate that it was"}
	}
	return engine.Reading{Truth: expr.True, Text: s.Path + " is another certificate"}
}

// Subjects implements engine.SubjectTeller.
func (Action) Subjects(_ *engine.Env, c engine.Change) engine.Subjects {
	s, err := load(c)
	if err != nil {
		return engine.Subjects{}
	}
	return engine.Subjects{Files: []string{s.Path}}
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read what was planned for a certificate")
	}
	return s, nil
}

// Package playbook is the action that carries out an Ansible playbook which
// people already have, with the ansible-playbook of its target, on that target
// alone. What --check --diff says is its plan. A playbook can do in check mode
// what it likes (check_mode: false), and says nothing of commands; so its
// runbook says what is measured, how it is undone, and what else it touches.
package playbook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

const (
	maxVars      = 50
	maxFileBytes = 1 << 20
	maxCheck     = 5 * time.Minute // of a plan, whatever its step may take
)

// Action is the action "playbook".
type Action struct{}

var _ engine.Action = Action{}

type with struct {
	path *expr.Template
	vars map[string]*expr.Template
}

// saved is what was planned.
type saved struct {
	Path   string   `json:"path"`
	Digest string   `json:"digest"` // SHA-256 of the playbook itself, not of the roles that it takes in
	Argv   []string `json:"argv"`
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "playbook" }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Path      *yamlx.Node            `yaml:"path,required"`
		Limit     *yamlx.Node            `yaml:"limit"`
		ExtraVars map[string]*yamlx.Node `yaml:"extra_vars"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	w := with{vars: map[string]*expr.Template{}}
	var errs []error
	template := func(n *yamlx.Node, check func(string) error) *expr.Template {
		t, err := c.Text(n, check)
		if err != nil {
			errs = append(errs, err)
		}
		return t
	}
	w.path = template(raw.Path, checkPath)
	if raw.Limit != nil {
		if text, _ := raw.Limit.Scalar(); text != "localhost" {
			errs = append(errs, raw.Limit.Errorf("limit is localhost: a run has the one target that was approved"))
		}
	}
	if len(raw.ExtraVars) > maxVars {
		errs = append(errs, n.Errorf("%d extra_vars, more than %d", len(raw.ExtraVars), maxVars))
	}
	for _, name := range slices.Sorted(maps.Keys(raw.ExtraVars)) {
		if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`).MatchString(name) || strings.HasPrefix(name, "ansible_") {
			errs = append(errs, raw.ExtraVars[name].Errorf("%q is not the name of a variable of the playbook", name))
		}
		w.vars[name] = template(raw.ExtraVars[name], checkValue)
	}
	if len(errs) > 0 {
		return runbooks.Decoded{}, errors.Join(errs...)
	}
	return runbooks.Decoded{With: w, Effect: runbooks.Write}, nil
}

func checkPath(name string) error {
	if !path.IsAbs(name) || path.Clean(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return fault.New(fault.Invalid, "%q is not a clean absolute path", name)
	}
	return nil
}

// checkValue refuses what Jinja would evaluate: Ansible fills in variables that
// stand in the values of variables, and a lookup starts programs.
func checkValue(text string) error {
	opens := slices.ContainsFunc([]string{"{{", "{%", "{#"}, func(sign string) bool { return strings.Contains(text, sign) })
	if opens || !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return fault.New(fault.Invalid, "%q would be evaluated by Ansible, or is not text", text)
	}
	return nil
}

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by playbook", env.Step.ID)
	}
	s, err := w.render(ctx, env.Vars)
	if err != nil {
		return engine.Change{}, err
	}
	if s.Digest, err = digest(ctx, env, s.Path); err != nil {
		return engine.Change{}, err
	}
	cmd := command(append(slices.Clone(s.Argv[:1]), append([]string{"--check"}, s.Argv[1:]...)...))
	cmd.As, cmd.Effect, cmd.Timeout = env.Step.As, remote.Read, min(env.Step.Timeout, maxCheck)
	res, err := env.Runner.Run(ctx, cmd)
	if err != nil {
		return engine.Change{}, fmt.Errorf("check the playbook: %w", err)
	}
	told, err := parse(string(res.Stdout))
	switch {
	case res.Err() != nil:
		return engine.Change{}, fmt.Errorf("check the playbook: %w%s", res.Err(), lastWords(res))
	case err != nil:
		return engine.Change{}, fmt.Errorf("check the playbook: %w", err)
	case res.Truncated:
		return engine.Change{}, fault.New(fault.TooLarge, "what the playbook would change is too much to be shown")
	case told.Failed+told.Unreachable > 0:
		return engine.Change{}, fault.New(fault.Denied, "the playbook fails when it is checked: %s", told.inWords())
	}
	body, err := json.Marshal(s)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the playbook")
	}
	change := engine.Change{Saved: body, Noop: told == recap{OK: told.OK}}
	if !change.Noop {
		change.Argv, change.Diff = s.Argv, fmt.Sprintf("--- playbook %s, sha256 %s\n%s", s.Path, s.Digest, steady(string(res.Stdout)))
	}
	return change, nil
}

func (w with) render(ctx context.Context, values map[string]any) (saved, error) {
	var s saved
	var err error
	if s.Path, err = w.path.Render(ctx, values); err == nil {
		err = checkPath(s.Path)
	}
	vars := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(w.vars)) {
		if err != nil {
			return s, err
		}
		if vars[name], err = w.vars[name].Render(ctx, values); err == nil {
			err = checkValue(vars[name])
		}
	}
	if err != nil {
		return s, err
	}
	given, err := json.Marshal(vars)
	if err != nil {
		return s, fault.Wrap(fault.Internal, err, "encode the variables")
	}
	s.Argv = []string{
		"ansible-playbook", "--diff", "--inventory", "localhost,", "--connection", "local", "--limit", "localhost",
		"--extra-vars", string(given), "--", s.Path,
	}
	return s, nil
}

// command is one in which Ansible speaks so that parse understands it.
func command(argv []string) remote.Command {
	return remote.Command{Argv: argv, Env: map[string]string{
		"ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_RETRY_FILES_ENABLED": "0",
		"ANSIBLE_HOST_KEY_CHECKING": "1", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1", "LC_ALL": "C.UTF-8", // which it insists on
	}}
}

func digest(ctx context.Context, env *engine.Env, name string) (string, error) {
	data, truncated, err := env.Runner.ReadFile(ctx, name, maxFileBytes)
	if err == nil && truncated {
		err = fault.New(fault.TooLarge, "it has more than %d bytes", maxFileBytes)
	}
	if err != nil {
		return "", fmt.Errorf("read playbook %s: %w", name, err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return engine.Outcome{}, fault.Wrap(fault.Internal, err, "read the playbook that was planned")
	}
	now, err := digest(ctx, env, s.Path)
	if err != nil {
		return engine.Outcome{}, err
	}
	if now != s.Digest {
		return engine.Outcome{}, fault.New(fault.Denied, "the world drifted: %s has been changed", s.Path)
	}
	res, err := env.ActWith(ctx, command(s.Argv))
	if err != nil {
		return engine.Outcome{}, err
	}
	out := engine.Outcome{ExitCode: res.ExitCode}
	told, err := parse(string(res.Stdout))
	if err == nil {
		out.Changed = told.inWords()
	}
	switch {
	case res.Err() != nil:
		return out, fmt.Errorf("%w%s", res.Err(), lastWords(res))
	case err != nil:
		return out, err
	case told.Failed+told.Unreachable > 0:
		return out, fault.New(fault.Internal, "the playbook has failed: %s", told.inWords())
	}
	return out, nil
}

// lastWords is the last line in which Ansible says what failed: it does so on
// its standard output.
func lastWords(res remote.Result) string {
	said := ""
	for line := range strings.Lines(string(res.Stdout)) {
		if strings.HasPrefix(line, "fatal:") || strings.HasPrefix(line, "failed:") {
			said = ": " + strings.TrimSpace(line)
		}
	}
	if len(said) > 500 {
		said = strings.ToValidUTF8(said[:500], "") + "…"
	}
	return said
}

// Package pkg is the action "package": it brings one package of a Debian host
// into a state, with dpkg and apt. It never removes a package, never upgrades
// another one than it was told, keeps configuration files as they are, asks
// nobody, and fetches no new lists. Other package managers are not spoken.
package pkg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// State is what a package is brought into.
type State string

// The states that a step can ask for.
const (
	Configured State = "configured" // what was unpacked is set up; see dpkg(1), --configure
	Installed  State = "installed"
	Held       State = "held" // no upgrade takes it along
	Unheld     State = "unheld"
)

func states() []State { return []State{Configured, Installed, Held, Unheld} }

// Action is the action "package".
type Action struct{}

var (
	_ engine.Action   = Action{}
	_ engine.Verifier = Action{}
	_ engine.Undoer   = Action{}
	_ engine.Witness  = Action{}
)

type with struct {
	name    *expr.Template
	version *expr.Template // nil is any
	state   State
}

// saved is what is known before the step acts.
type saved struct {
	Name    string   `json:"name"`
	State   State    `json:"state"`
	Version string   `json:"version,omitempty"` // to be installed
	Before  reading  `json:"before"`
	Also    []change `json:"also,omitempty"`     // what comes with it
	OldFile string   `json:"old_file,omitempty"` // the cached file of the version before
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "package" }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Name    *yamlx.Node `yaml:"name,required"`
		State   *yamlx.Node `yaml:"state,required"`
		Version *yamlx.Node `yaml:"version"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	var w with
	var errs []error
	template := func(n *yamlx.Node, check func(string) error) *expr.Template {
		t, err := c.Text(n, check)
		if err != nil {
			errs = append(errs, err)
		}
		return t
	}
	w.name = template(raw.Name, checkName)
	text, _ := raw.State.Scalar()
	if w.state = State(text); !slices.Contains(states(), w.state) {
		errs = append(errs, raw.State.Errorf("no package state %q; one of: %v", text, states()))
	}
	if raw.Version != nil {
		w.version = template(raw.Version, checkVersion)
		if w.state != Installed {
			errs = append(errs, raw.Version.Errorf("version is for state: %s", Installed))
		}
	}
	if len(errs) > 0 {
		return runbooks.Decoded{}, errors.Join(errs...)
	}
	return runbooks.Decoded{
		With: w, Deed: string(w.state), Effect: runbooks.Write, OwnVerify: true, OwnUndo: true,
		Repeat: runbooks.Repeat{Always: true}, // asked first, by DidItHappen
	}, nil
}

// checkName follows Debian policy 5.6.1, with the architecture that dpkg takes
// behind a colon. A dash at the end would be a verb of apt-get: remove.
func checkName(name string) error {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]{0,125}[a-z0-9+](:[a-z0-9-]{1,31})?$`).MatchString(name) {
		return fault.New(fault.Invalid, "%q is not the name of a package", name)
	}
	return nil
}

// checkVersion follows Debian policy 5.6.12.
func checkVersion(version string) error {
	if !regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+:~-]{0,126}$`).MatchString(version) {
		return fault.New(fault.Invalid, "%q is not the version of a package", version)
	}
	return nil
}

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by package", env.Step.ID)
	}
	s := saved{State: w.state}
	var err error
	if s.Name, err = w.name.Render(ctx, env.Vars); err == nil {
		err = checkName(s.Name)
	}
	if err == nil && w.version != nil {
		if s.Version, err = w.version.Render(ctx, env.Vars); err == nil {
			err = checkVersion(s.Version)
		}
	}
	if err != nil {
		return engine.Change{}, err
	}
	if s.Before, err = read(ctx, env, s.Name); err != nil {
		return engine.Change{}, err
	}
	if err := s.refuse(); err != nil {
		return engine.Change{}, err
	}
	noop := s.holds(s.Before)
	if !noop && s.State == Installed {
		if err := s.simulate(ctx, env); err != nil {
			return engine.Change{}, err
		}
	}
	body, err := json.Marshal(s)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the state of %s", s.Name)
	}
	change := engine.Change{Noop: noop, Verify: s.inWords(), Saved: body}
	if noop {
		return change, nil
	}
	change.Argv, change.Diff = s.argv(), s.diff()
	change.Touches = []runbooks.Touch{{Kind: runbooks.TouchPackage, Name: s.Name}}
	for _, also := range s.Also {
		change.Touches = append(change.Touches, runbooks.Touch{Kind: runbooks.TouchPackage, Name: also.Name})
	}
	if s.whyNoUndo() == "" {
		change.Undo = strings.Join(s.undoArgv(), " ")
	}
	return change, nil
}

// refuse says which packages cannot be brought into the state.
func (s saved) refuse() error {
	missing := s.Before.Status == notInstalled || s.Before.Status == "config-files"
	switch {
	case s.State != Installed && missing:
		return fault.New(fault.NotFound, "package %s is not installed", s.Name)
	case s.Before.Error != "ok":
		return fault.New(fault.Denied, "package %s is marked %s: it must be installed anew, by a person", s.Name, s.Before.Error)
	case s.State == Configured && s.Before.Status == "half-installed":
		return fault.New(fault.Denied, "package %s is half-installed, which configuring does not mend", s.Name)
	case s.State == Installed && !missing && s.Before.Status != installed:
		return fault.New(fault.Denied, "package %s is %s; first bring it into state: %s", s.Name, s.Before.Status, Configured)
	case s.State == Installed && s.Before.Want == "hold" && s.Version != "" && s.Version != s.Before.Version:
		return fault.New(fault.Denied, "package %s is held at %s", s.Name, s.Before.Version)
	}
	return nil
}

// holds reports whether the package is in the state.
func (s saved) holds(now reading) bool {
	switch s.State {
	case Configured:
		return now.Status == installed && now.Error == "ok"
	case Installed:
		return now.Status == installed && now.Error == "ok" && (s.Version == "" || s.Version == now.Version)
	case Held:
		return now.Want == "hold"
	case Unheld:
		return now.Want != "hold"
	}
	return false
}

// Apply implements engine.Action. What apt would do is asked once more right
// before.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	now, err := read(ctx, env, s.Name)
	if err != nil {
		return engine.Outcome{}, err
	}
	if now != s.Before {
		return engine.Outcome{}, drift("package %s was %s and is %s", s.Name, s.Before.inWords(), now.inWords())
	}
	if s.State == Installed {
		again := saved{Name: s.Name, State: s.State, Version: s.Version, Before: now}
		if err := again.simulate(ctx, env); err != nil {
			return engine.Outcome{}, err
		}
		if !slices.Equal(again.Also, s.Also) {
			return engine.Outcome{}, drift("with %s would come %v, and not %v", s.Name, again.Also, s.Also)
		}
	}
	return act(ctx, env, s.argv())
}

func drift(format string, args ...any) error {
	return fault.New(fault.Denied, "the world drifted: "+format, args...)
}

// act runs dpkg or apt, which ask nobody and restart nothing that is not theirs.
func act(ctx context.Context, env *engine.Env, argv []string) (engine.Outcome, error) {
	res, err := env.ActWith(ctx, remote.Command{Argv: argv, Env: map[string]string{
		"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "APT_LISTCHANGES_FRONTEND": "none",
	}})
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
	now, err := read(ctx, env, s.Name)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	return told(s.holds(now), s.Name+" is "+now.inWords())
}

func told(yes bool, text string) engine.Reading {
	if yes {
		return engine.Reading{Truth: expr.True, Text: text}
	}
	return engine.Reading{Truth: expr.False, Text: text}
}

// DidItHappen implements engine.Witness. Between before and after there is
// nothing that tells.
func (Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	now, err := read(ctx, env, s.Name)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	text := fmt.Sprintf("%s is %s, and was %s", s.Name, now.inWords(), s.Before.inWords())
	if !s.holds(now) && now != s.Before {
		return engine.Unknown(text)
	}
	return told(s.holds(now), text)
}

// CanUndo implements engine.Undoer.
func (Action) CanUndo(c engine.Change) string {
	s, err := load(c)
	if err != nil {
		return err.Error()
	}
	return s.whyNoUndo()
}

func (s saved) whyNoUndo() string {
	switch {
	case s.State == Configured:
		return "what was set up cannot be made unset again"
	case s.State == Installed && s.Before.Version == "":
		return "a package that is new stays: to remove it could take others along"
	case s.State == Installed && len(s.Also) > 0:
		return fmt.Sprintf("%d packages that come with it would stay", len(s.Also))
	case s.State == Installed && s.OldFile == "":
		return "the file of version " + s.Before.Version + " is not in the cache of apt"
	}
	return ""
}

// Undo implements engine.Undoer.
func (Action) Undo(ctx context.Context, env *engine.Env, c engine.Change) error {
	s, err := load(c)
	if err != nil {
		return err
	}
	now, err := read(ctx, env, s.Name)
	switch {
	case err != nil:
		return err
	case now == s.Before:
		return nil // it failed before it changed anything
	case s.State == Installed && now.Version != s.Version && now.Version != s.Before.Version:
		return fault.New(fault.Conflict, "somebody else has brought %s to %s", s.Name, now.Version)
	}
	if _, err := act(ctx, env, s.undoArgv()); err != nil {
		return err
	}
	if now, err = read(ctx, env, s.Name); err == nil && now != s.Before {
		err = fault.New(fault.Internal, "%s was %s and is %s", s.Name, s.Before.inWords(), now.inWords())
	}
	return err
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read what was planned for a package")
	}
	if !slices.Contains(states(), s.State) {
		return s, fault.New(fault.Internal, "no package state %q", s.State)
	}
	return s, nil
}

// Package unit is the action that brings a systemd unit into a state and
// proves that it stays there. It reads with systemctl show, which needs no
// rights, and acts with systemctl as the step's user. It edits no unit files.
package unit

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// State is what a unit is brought into.
type State string

// The states that a step can ask for.
const (
	Started     State = "started"
	Stopped     State = "stopped"
	Restarted   State = "restarted"
	Reloaded    State = "reloaded"
	ResetFailed State = "reset-failed" // lets a unit be started again that had reached its start limit
	Enabled     State = "enabled"
)

func states() []State { return []State{Started, Stopped, Restarted, Reloaded, ResetFailed, Enabled} }

// verb is the systemctl command that brings the state about.
func (s State) verb() string {
	switch s {
	case Started:
		return "start"
	case Stopped:
		return "stop"
	case Restarted:
		return "restart"
	case Reloaded:
		return "reload"
	case ResetFailed:
		return "reset-failed"
	case Enabled:
		return "enable"
	}
	panic("unit: no state " + string(s))
}

// Action is the action "unit".
type Action struct{}

var (
	_ engine.Action        = Action{}
	_ engine.Verifier      = Action{}
	_ engine.Undoer        = Action{}
	_ engine.Witness       = Action{}
	_ engine.SubjectTeller = Action{}
)

type with struct {
	name  *expr.Template
	state State
}

// saved is what is known before the step acts.
type saved struct {
	Unit   string  `json:"unit"`
	State  State   `json:"state"`
	Before reading `json:"before"`
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "unit" }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Name  *yamlx.Node `yaml:"name,required"`
		State *yamlx.Node `yaml:"state,required"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	template, err := c.Text(raw.Name, nil)
	if err != nil {
		return runbooks.Decoded{}, err
	}
	text, _ := raw.State.Scalar()
	state := State(text)
	if !slices.Contains(states(), state) {
		return runbooks.Decoded{}, raw.State.Errorf("no unit state %q; one of: %v", text, states())
	}
	return runbooks.Decoded{
		With: with{template, state}, Deed: string(state), Effect: runbooks.Write, OwnVerify: true, OwnUndo: true,
		DestroysEvidence: state == Stopped || state == Restarted,
		Repeat:           runbooks.Repeat{Always: true}, // asked first, by DidItHappen
	}, nil
}

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by unit", env.Step.ID)
	}
	name, err := w.name.Render(ctx, env.Vars)
	if err != nil {
		return engine.Change{}, err
	}
	if !regexp.MustCompile(`^[A-Za-z0-9:_\\][A-Za-z0-9:_.\\@-]{0,254}$`).MatchString(name) { // systemd.unit(5)
		return engine.Change{}, fault.New(fault.Invalid, "%q is not a unit name", name)
	}
	before, err := show(ctx, env, name)
	if err != nil {
		return engine.Change{}, err
	}
	switch before.LoadState {
	case "loaded":
	case "not-found":
		return engine.Change{}, fault.New(fault.NotFound, "there is no unit %s", name)
	default:
		return engine.Change{}, fault.New(fault.Denied, "unit %s is %s", name, before.LoadState)
	}
	body, err := json.Marshal(saved{Unit: name, State: w.state, Before: before})
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the state of %s", name)
	}
	change := engine.Change{
		Argv: []string{"systemctl", w.state.verb(), "--", name}, Diff: diff(name, w.state, before), Noop: w.state.holds(before),
		Verify: w.state.inWords(name), Undo: undoInWords(w.state, name, before), Saved: body,
		Touches: []runbooks.Touch{{Kind: runbooks.TouchUnit, Name: name}},
	}
	if change.Noop {
		change.Argv, change.Diff = nil, ""
	}
	return change, nil
}

// Apply implements engine.Action. It reads the unit once more afterwards, so
// that a unit which then comes back by itself is told from the one it started.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	res, err := env.Act(ctx, c.Argv...)
	if err != nil {
		return engine.Outcome{}, err
	}
	out := engine.Outcome{ExitCode: res.ExitCode}
	if err := res.Err(); err != nil {
		return out, err
	}
	after, err := show(ctx, env, s.Unit)
	if err != nil {
		return out, nil //nolint:nilerr // it has happened; Verify reads again and says what it cannot tell
	}
	out.Changed = fmt.Sprintf("%s: %s -> %s", s.Unit, s.Before.words(), after.words())
	out.Saved, err = json.Marshal(after)
	return out, err
}

// Verify implements engine.Verifier.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, o engine.Outcome) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	now, err := show(ctx, env, s.Unit)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	var after *reading
	if len(o.Saved) > 0 {
		after = &reading{}
		if err := json.Unmarshal(o.Saved, after); err != nil {
			return engine.Unknown(err.Error())
		}
	}
	return judge(s, after, now)
}

// judge is the verdict on a reading: after is what was read right behind the
// act, nil when that is lost.
func judge(s saved, after *reading, now reading) engine.Reading {
	text := fmt.Sprintf("%s is %s", s.Unit, now.words())
	answer := func(ok bool) engine.Reading {
		if ok {
			return engine.Reading{Truth: expr.True, Text: text}
		}
		return engine.Reading{Truth: expr.False, Text: text}
	}
	switch s.State {
	case Stopped, ResetFailed, Enabled:
		return answer(s.State.holds(now))
	case Restarted:
		if now.InvocationID == s.Before.InvocationID {
			text += ", and has not been restarted"
			return answer(false)
		}
	case Started, Reloaded:
	}
	if after != nil && after.InvocationID != "" && (now.InvocationID != after.InvocationID || now.Restarts > after.Restarts) {
		text += ", and has been restarted since, which nobody asked for"
		return answer(false)
	}
	return answer(now.up())
}

// CanUndo implements engine.Undoer.
func (Action) CanUndo(c engine.Change) string {
	s, err := load(c)
	if err != nil {
		return err.Error()
	}
	if s.undoVerb() == "" {
		return fmt.Sprintf("a %s unit cannot be put back", s.State)
	}
	return ""
}

// Undo implements engine.Undoer.
func (Action) Undo(ctx context.Context, env *engine.Env, c engine.Change) error {
	s, err := load(c)
	if err != nil {
		return err
	}
	res, err := env.Act(ctx, "systemctl", s.undoVerb(), "--", s.Unit)
	if err != nil {
		return err
	}
	if err := res.Err(); err != nil {
		return err
	}
	now, err := show(ctx, env, s.Unit)
	if err != nil {
		return err
	}
	if s.State.holds(now) {
		return fault.New(fault.Internal, "%s is still %s", s.Unit, now.words())
	}
	return nil
}

// undoVerb is the systemctl command that leads back, "" when none does. A
// restart has no way back, and what was failed before cannot be made so again.
func (s saved) undoVerb() string {
	switch s.State {
	case Started:
		return "stop"
	case Stopped:
		return "start"
	case Enabled:
		return "disable"
	case Restarted, Reloaded, ResetFailed:
	}
	return ""
}

func undoInWords(state State, name string, before reading) string {
	if verb := (saved{State: state, Before: before}).undoVerb(); verb != "" {
		return "systemctl " + verb + " " + name
	}
	return ""
}

// DidItHappen implements engine.Witness. The invocation id (systemd.exec(5))
// is new with every start of a unit, whoever started it.
func (Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	now, err := show(ctx, env, s.Unit)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	return happened(s, now)
}

func happened(s saved, now reading) engine.Reading {
	text := fmt.Sprintf("%s is %s, and was %s", s.Unit, now.words(), s.Before.words())
	if now.Job != "" {
		return engine.Unknown(text + "; a job of systemd is still at work on it")
	}
	yes := false
	switch s.State {
	case Restarted:
		yes = now.InvocationID != s.Before.InvocationID
	case Started:
		yes = now.InvocationID != s.Before.InvocationID || now.up()
	case Reloaded:
		yes = now.Changed != s.Before.Changed
	case Stopped, ResetFailed, Enabled:
		yes = s.State.holds(now)
	}
	if yes {
		return engine.Reading{Truth: expr.True, Text: text}
	}
	return engine.Reading{Truth: expr.False, Text: text}
}

// Subjects implements engine.SubjectTeller.
func (Action) Subjects(_ *engine.Env, c engine.Change) engine.Subjects {
	s, err := load(c)
	if err != nil {
		return engine.Subjects{}
	}
	return engine.Subjects{Units: []string{s.Unit}}
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read what was planned for a unit")
	}
	if !slices.Contains(states(), s.State) {
		return s, fault.New(fault.Internal, "no unit state %q", s.State)
	}
	return s, nil
}

// diff shows what changes. It names only what stays the same while nobody
// does anything: a unit in a crash loop goes through several states a second.
func diff(name string, state State, before reading) string {
	line := func(key, was, will string) string {
		return fmt.Sprintf("--- %s\n-%s: %s\n+%s: %s\n", name, key, was, key, will)
	}
	switch state {
	case Started:
		return line("active_state", before.ActiveState, "active")
	case Stopped:
		return line("active_state", before.ActiveState, "inactive")
	case ResetFailed:
		return line("active_state", before.ActiveState, "inactive")
	case Enabled:
		return line("unit_file_state", before.UnitFileState, "enabled")
	case Restarted:
		if before.ActiveState == "failed" || before.ActiveState == "inactive" {
			return line("active_state", before.ActiveState, "active")
		}
		return fmt.Sprintf("--- %s\n+active_state: active, by a restart\n", name)
	case Reloaded:
		return fmt.Sprintf("--- %s\n+configuration: read again\n", name)
	}
	return ""
}

func (s State) inWords(name string) string {
	switch s {
	case Started:
		return name + " is active"
	case Restarted:
		return name + " is active, was restarted, and not again by itself"
	case Reloaded:
		return name + " is active, and was not restarted"
	case Stopped:
		return name + " is not active"
	case ResetFailed:
		return name + " is not failed"
	case Enabled:
		return name + " is enabled"
	}
	return strings.TrimSpace(name)
}

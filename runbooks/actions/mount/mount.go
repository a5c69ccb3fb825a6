// Package mount is the action that mounts, unmounts, or remounts what this host
// is declared to have: in /etc/fstab, or by a mount unit. Source, type and
// options come from there, never from a runbook. Whether the mounted file system
// is the declared one is judged by its type; two of the same type are not told
// apart.
//
// It never unmounts lazily or by force, and refuses a point that is in use,
// naming by whom. It never makes a file system writable that has had errors,
// nor one of which that cannot be told: what the kernel stopped from being
// written must be checked first (faults.md 09).
package mount

import (
	"context"
	"encoding/json"
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

// State is what a mount point is brought into.
type State string

// The states that a step can ask for.
const (
	Mounted   State = "mounted"
	Unmounted State = "unmounted"
	ReadOnly  State = "remounted-ro"
	ReadWrite State = "remounted-rw"
)

func states() []State { return []State{Mounted, Unmounted, ReadOnly, ReadWrite} }

// opposite is the state that a step in this state is taken back into.
func (s State) opposite() State {
	return map[State]State{Mounted: Unmounted, Unmounted: Mounted, ReadOnly: ReadWrite, ReadWrite: ReadOnly}[s]
}

// holds reports whether the world is already so.
func (s State) holds(w world) bool {
	switch s {
	case Mounted:
		return w.mounted != nil
	case Unmounted:
		return w.mounted == nil
	case ReadOnly:
		return w.mounted != nil && w.mounted.readOnly()
	case ReadWrite:
		return w.mounted != nil && !w.mounted.readOnly()
	}
	return false
}

// Action is the action "mount".
type Action struct{}

var (
	_ engine.Action   = Action{}
	_ engine.Verifier = Action{}
	_ engine.Undoer   = Action{}
	_ engine.Witness  = Action{}
)

// with is the action's part of a step.
type with struct {
	point *expr.Template
	state State
}

// saved is what is known before the step acts.
type saved struct {
	Point    string      `json:"point"`
	State    State       `json:"state"`
	Declared declaration `json:"declared"`
	Before   *entry      `json:"before,omitempty"` // nil: nothing was mounted
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "mount" }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Point *yamlx.Node `yaml:"point,required"`
		State *yamlx.Node `yaml:"state,required"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	text, _ := raw.State.Scalar()
	w := with{state: State(text)}
	if !slices.Contains(states(), w.state) {
		return runbooks.Decoded{}, raw.State.Errorf("no mount state %q; one of: %v", text, states())
	}
	var err error
	if w.point, err = c.Text(raw.Point, w.state.mayBeAt); err != nil {
		return runbooks.Decoded{}, err
	}
	return runbooks.Decoded{
		With: w, Deed: string(w.state), Effect: runbooks.Write, OwnVerify: true, OwnUndo: true,
		Repeat: runbooks.Repeat{Always: true}, // asked first, by DidItHappen
	}, nil
}

// mayBeAt refuses what is no mount point, and to take away those without which
// no host lives.
func (s State) mayBeAt(point string) error {
	if !path.IsAbs(point) || path.Clean(point) != point || strings.ContainsFunc(point, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%q is not a clean absolute path", point)
	}
	top := strings.SplitN(point, "/", 3)[1]
	vital := slices.Contains([]string{"/", "/usr", "/etc"}, point) || slices.Contains([]string{"proc", "sys", "dev", "run"}, top)
	if vital && (s == Unmounted || s == ReadOnly) {
		return fmt.Errorf("%s is never %s: no host lives without it", point, s)
	}
	return nil
}

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by mount", env.Step.ID)
	}
	point, err := w.point.Render(ctx, env.Vars)
	if err != nil {
		return engine.Change{}, err
	}
	if err := w.state.mayBeAt(point); err != nil {
		return engine.Change{}, fault.New(fault.Invalid, "%v", err)
	}
	h := host{env}
	if err := h.onHost(ctx); err != nil {
		return engine.Change{}, err
	}
	s := saved{Point: point, State: w.state}
	if s.Declared, err = h.declared(ctx, point); err != nil {
		return engine.Change{}, err
	}
	now, err := h.look(ctx, point)
	if err != nil {
		return engine.Change{}, err
	}
	if s.Before = now.mounted; s.Before != nil && !s.Declared.fits(*s.Before) {
		return engine.Change{}, fault.New(fault.Denied, "at %s is a %s, and %s declares a %s", point, s.Before.Type, s.Declared.words(), s.Declared.Type)
	}
	change := engine.Change{
		Noop: w.state.holds(now), Verify: fmt.Sprintf("%s is %s", point, w.state.inWords()), Undo: fmt.Sprintf("%s is %s again", point, w.state.opposite().inWords()),
		Touches: []runbooks.Touch{{Kind: runbooks.TouchMount, Name: point}},
	}
	if !change.Noop {
		if err := h.mayBecome(ctx, w.state, s, now); err != nil {
			return engine.Change{}, err
		}
		change.Argv, change.Diff = s.argv(w.state), s.diff()
	}
	if change.Saved, err = json.Marshal(s); err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the state of %s", point)
	}
	return change, nil
}

// mayBecome refuses a state that must not, or cannot, be brought about now.
func (h host) mayBecome(ctx context.Context, to State, s saved, now world) error {
	if to == Mounted {
		if s.Declared.Unit != "" {
			return nil // systemd makes the directory
		}
		return h.isDirectory(ctx, s.Point)
	}
	if now.mounted == nil {
		return fault.New(fault.Denied, "nothing is mounted at %s", s.Point).WithHint("state: mounted")
	}
	switch to {
	case Unmounted:
		if len(now.below) > 0 {
			return fault.New(fault.Denied, "below %s are other mounts: %s", s.Point, strings.Join(now.below, ", "))
		}
		return h.busy(ctx, s.Point, false)
	case ReadOnly, ReadWrite:
		if len(now.shared) > 0 {
			return fault.New(fault.Denied, "the file system at %s is also that at %s", s.Point, strings.Join(now.shared, ", "))
		}
		if to == ReadOnly {
			return h.busy(ctx, s.Point, true)
		}
	case Mounted:
	}
	if s.Declared.has("ro") {
		return fault.New(fault.Denied, "%s declares that %s is read-only", s.Declared.words(), s.Point)
	}
	why, err := h.errorsOf(ctx, *now.mounted)
	if err == nil && why != "" {
		err = fault.New(fault.Denied, "the file system at %s has had errors: %s", s.Point, why).
			WithHint("nothing may be written to it before a person has checked it")
	}
	return err
}

// argv is the command that brings the state about. A remount takes nothing from
// fstab, and says what is there now again, so that it changes the one option.
func (s saved) argv(to State) []string {
	remount := func(mode string) []string {
		return []string{"mount", "--options-source", "disable", "-o", s.Before.remountOptions(mode), "--target", s.Point}
	}
	switch to {
	case Mounted:
		if s.Declared.Unit != "" {
			return []string{"systemctl", "start", "--", s.Declared.Unit}
		}
		return []string{"mount", "--target", s.Point}
	case Unmounted:
		return []string{"umount", "--no-canonicalize", "--", s.Point}
	case ReadOnly:
		return remount("ro")
	case ReadWrite:
		return remount("rw")
	}
	panic("mount: no state " + string(to))
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	h := host{env}
	declared, err := h.declared(ctx, s.Point)
	if err != nil {
		return engine.Outcome{}, err
	}
	now, err := h.look(ctx, s.Point)
	if err != nil {
		return engine.Outcome{}, err
	}
	if declared != s.Declared || !same(now.mounted, s.Before) {
		return engine.Outcome{}, fault.New(fault.Denied, "what is mounted at %s, or declared to be, has changed since the plan", s.Point)
	}
	return h.bring(ctx, s.State, s, now)
}

func same(a, b *entry) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// bring brings a state about, when nothing speaks against it right now.
func (h host) bring(ctx context.Context, to State, s saved, now world) (engine.Outcome, error) {
	if err := h.mayBecome(ctx, to, s, now); err != nil {
		return engine.Outcome{}, err
	}
	res, err := h.env.Act(ctx, s.argv(to)...)
	if err == nil {
		err = res.Err()
	}
	return engine.Outcome{ExitCode: res.ExitCode, Changed: fmt.Sprintf("%s: %s", s.Point, to.inWords())}, err
}

// Verify implements engine.Verifier.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	got := host{env}.measure(ctx, s, s.State)
	if got.Truth != expr.True || s.State == Unmounted {
		return got
	}
	// One that does not answer (a dead server) is mounted, and of no use.
	res, err := env.Read(ctx, "stat", "--file-system", "-c", "%i", "--", s.Point)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return engine.Unknown(fmt.Sprintf("%s, and whether it answers cannot be told: %v", got.Text, err))
	}
	return got
}

func (h host) measure(ctx context.Context, s saved, want State) engine.Reading {
	now, err := h.look(ctx, s.Point)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	text := s.Point + " is not mounted"
	if now.mounted != nil {
		text = fmt.Sprintf("%s is mounted from %s: %s, %s", s.Point, now.mounted.Source, now.mounted.Type, now.mounted.Options)
	}
	switch {
	case now.mounted != nil && !s.Declared.fits(*now.mounted):
		return engine.Reading{Truth: expr.False, Text: text + ", which is not what is declared"}
	case want.holds(now):
		return engine.Reading{Truth: expr.True, Text: text}
	}
	return engine.Reading{Truth: expr.False, Text: text}
}

// DidItHappen implements engine.Witness. Who brought the state about is not
// seen, and does not count.
func (Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	return host{env}.measure(ctx, s, s.State)
}

// CanUndo implements engine.Undoer.
func (Action) CanUndo(c engine.Change) string {
	if _, err := load(c); err != nil {
		return err.Error()
	}
	return ""
}

// Undo implements engine.Undoer. Everything that speaks against a change speaks
// against taking one back: a file system that has had errors meanwhile stays
// read-only, and one that is in use stays mounted.
func (Action) Undo(ctx context.Context, env *engine.Env, c engine.Change) error {
	s, err := load(c)
	if err != nil {
		return err
	}
	h, back := host{env}, s.State.opposite()
	now, err := h.look(ctx, s.Point)
	if err != nil {
		return err
	}
	if back.holds(now) {
		return nil // it was not changed, or somebody has put it back
	}
	declared, err := h.declared(ctx, s.Point)
	if err != nil {
		return err
	}
	if declared != s.Declared || now.mounted != nil && !declared.fits(*now.mounted) || s.remounts() && (now.mounted == nil || now.mounted.ID != s.Before.ID) {
		return fault.New(fault.Conflict, "what is mounted at %s, or declared to be, was changed by somebody else", s.Point)
	}
	if _, err := h.bring(ctx, back, s, now); err != nil {
		return err
	}
	if got := h.measure(ctx, s, back); got.Truth != expr.True {
		return fault.New(fault.Internal, "%s was to be %s again, and %s", s.Point, back.inWords(), got.Text)
	}
	if s.State != Unmounted {
		return nil
	}
	// It is as declared now, which need not be as it was.
	if now, err = h.look(ctx, s.Point); err == nil && now.mounted != nil && now.mounted.Options != s.Before.Options {
		err = fault.New(fault.Internal, "the mount at %s was %s, and is %s", s.Point, s.Before.Options, now.mounted.Options)
	}
	return err
}

func (s saved) remounts() bool { return s.State == ReadOnly || s.State == ReadWrite }

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read what was planned for a mount point")
	}
	if !slices.Contains(states(), s.State) || s.State != Mounted && s.Before == nil && !c.Noop {
		return s, fault.New(fault.Internal, "no mount state %q of %s was planned", s.State, s.Point)
	}
	return s, nil
}

func (s saved) diff() string {
	line := func(was, is string) string {
		return fmt.Sprintf("--- %s, declared by %s\n-%s\n+%s\n", s.Point, s.Declared.words(), was, is)
	}
	declared := fmt.Sprintf("mounted: %s, %s, %s", s.Declared.Source, s.Declared.Type, s.Declared.Options)
	switch s.State {
	case Mounted:
		return line("not mounted", declared)
	case Unmounted:
		return line(fmt.Sprintf("mounted: %s, %s, %s", s.Before.Source, s.Before.Type, s.Before.Options), "not mounted")
	case ReadOnly:
		return line("read and write", "read-only")
	case ReadWrite:
		return line("read-only", "read and write")
	}
	return ""
}

func (s State) inWords() string {
	switch s {
	case Mounted:
		return "mounted"
	case Unmounted:
		return "not mounted"
	case ReadOnly:
		return "mounted read-only"
	case ReadWrite:
		return "mounted for reading and writing"
	}
	return string(s)
}

// Package process is the action that sends a signal to one process, and proves
// what came of it. A process is not its number: it is the number, the time at
// which it began, the boot, and its program, and all four are compared again on
// the server right before the signal, by the shell that sends it.
//
// What stays open: between that shell's last look, at /proc/PID/stat, and its
// kill(2) lies the time in which it reads some hundred bytes, well below a
// millisecond, and nothing is started in between. In it the process would have
// to end, be reaped, and its number be given away again, for which the kernel
// first has to go round all other numbers (kernel/pid.c gives them in turn). A
// pidfd would close even that; no shell has one, and kill(1) of util-linux can
// check what it signals only since 2.41, which servers do not have yet.
//
// KILL is irreversible, and so always a person's decision (faults.md, rule 4):
// what the program had not written is lost, and nothing brings it back. TERM,
// INT and QUIT let a program that is able to put its things in order do so; they
// are writes, like a restart. HUP, USR1 and USR2 end a program that has no
// handler for them (signal(7)), and so are refused for such a one.
//
// It never signals init, a kernel thread, or what it lives by itself: the
// shell's ancestors, which are the agent or the sshd of its session.
package process

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Bounds of how long a process may take to end.
const (
	defaultGoneWithin = 10 * time.Second
	maxGoneWithin     = 10 * time.Minute
	// stopsWithin is how long a process may take to stop or go on, which the
	// kernel does by itself unless the process is in an uninterruptible sleep.
	stopsWithin = 3 * time.Second
)

const maxMatchWords = 32

// Action is the action "process".
type Action struct{}

var (
	_ engine.Action        = Action{}
	_ engine.Verifier      = Action{}
	_ engine.Undoer        = Action{}
	_ engine.Witness       = Action{}
	_ engine.SubjectTeller = Action{}
)

// with is the action's part of a step.
type with struct {
	pid, pidFile, user *expr.Template // nil: not said
	match              []*expr.Template
	signal             Signal
	goneWithin         time.Duration
}

// saved is what is known before the step acts.
type saved struct {
	Process    identity      `json:"process"`
	Program    string        `json:"program"`
	Unit       string        `json:"unit,omitempty"` // of systemd, that the process belongs to
	Signal     Signal        `json:"signal"`
	GoneWithin time.Duration `json:"gone_within,omitempty"`
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "process" }

// Decode implements runbooks.Decoder. The signal is never a value from outside:
// what a step may do is known when it is loaded.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		PID        *yamlx.Node    `yaml:"pid"`
		PIDFile    *yamlx.Node    `yaml:"pid_file"`
		Match      *yamlx.Node    `yaml:"match"`
		User       *yamlx.Node    `yaml:"user"`
		Signal     *yamlx.Node    `yaml:"signal,required"`
		GoneWithin *time.Duration `yaml:"gone_within"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	switch {
	case raw.PID == nil && raw.PIDFile == nil && raw.Match == nil:
		return runbooks.Decoded{}, n.Errorf("it is not said which process").WithHint("one of: pid, pid_file, match")
	case raw.PID != nil && raw.PIDFile != nil:
		return runbooks.Decoded{}, raw.PIDFile.Errorf("a process is named by pid or by pid_file, not by both")
	}
	text, _ := raw.Signal.Scalar()
	w := with{signal: Signal(text)}
	if !slices.Contains(signals(), w.signal) {
		return runbooks.Decoded{}, raw.Signal.Errorf("no signal %q; one of: %v", text, signals())
	}
	switch {
	case raw.GoneWithin == nil && w.signal.ends():
		w.goneWithin = defaultGoneWithin
	case raw.GoneWithin == nil:
	case !w.signal.ends():
		return runbooks.Decoded{}, n.Errorf("%s ends no process, so that gone_within says nothing", w.signal)
	case *raw.GoneWithin <= 0 || *raw.GoneWithin > maxGoneWithin:
		return runbooks.Decoded{}, n.Errorf("gone_within is %s; it must be more than 0 and at most %s", *raw.GoneWithin, maxGoneWithin)
	default:
		w.goneWithin = *raw.GoneWithin
	}
	if err := w.compile(c, raw.PID, raw.PIDFile, raw.User, raw.Match); err != nil {
		return runbooks.Decoded{}, err
	}
	d := runbooks.Decoded{
		With: w, Deed: string(w.signal), Effect: runbooks.Write, OwnVerify: true, OwnUndo: w.signal.opposite() != "", DestroysEvidence: w.signal.ends(),
		Repeat: runbooks.Repeat{Always: w.signal.leavesTrace()}, // asked first, by DidItHappen
	}
	if w.signal == Kill {
		d.Effect = runbooks.Irreversible
	}
	return d, nil
}

func (w *with) compile(c *runbooks.StepContext, pid, pidFile, user, match *yamlx.Node) error {
	for _, part := range []struct {
		n     *yamlx.Node
		into  **expr.Template
		check func(string) error
	}{{pid, &w.pid, checkPID}, {pidFile, &w.pidFile, checkPath}, {user, &w.user, checkUser}} {
		if part.n == nil {
			continue
		}
		t, err := c.Text(part.n, part.check)
		if err != nil {
			return err
		}
		*part.into = t
	}
	if match == nil {
		return nil
	}
	items := match.Items()
	if text, ok := match.Scalar(); ok {
		if _, list := c.ListInput(text); !list {
			return match.Errorf("match is a list, the program first, as in match: [/usr/bin/orders, --worker]")
		}
		items = []*yamlx.Node{match}
	}
	if len(items) == 0 || len(items) > maxMatchWords {
		return match.Errorf("match is a list of 1 to %d words, the program first", maxMatchWords)
	}
	for i, item := range items {
		t, err := c.Text(item, checkWord)
		if err != nil {
			return err
		}
		if text, constant := t.Constant(); i == 0 && constant && text == "" {
			return item.Errorf("the first word of match is a program, and empty")
		}
		w.match = append(w.match, t)
	}
	return nil
}

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by process", env.Step.ID)
	}
	// The command also has to begin and to come back.
	if w.goneWithin+5*time.Second > env.Step.Timeout {
		return engine.Change{}, fault.New(fault.Invalid, "gone_within is %s, and the step's time-out is %s", w.goneWithin, env.Step.Timeout).
			WithHint("make timeout at least 5s longer than gone_within")
	}
	r, err := w.find(ctx, env)
	if err != nil {
		return engine.Change{}, err
	}
	if err := w.signal.mayGoTo(r); err != nil {
		return engine.Change{}, err
	}
	s := saved{Process: r.identity, Program: r.program(), Unit: r.Unit, Signal: w.signal, GoneWithin: w.goneWithin}
	change := engine.Change{
		Diff: w.signal.diff(r), Noop: w.signal.holds(r), Verify: w.signal.inWords(s), Touches: touches(s),
	}
	if o := w.signal.opposite(); o != "" {
		change.Undo = fmt.Sprintf("send %s to the same process", o)
	}
	if change.Saved, err = json.Marshal(s); err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode which process is meant")
	}
	if change.Noop {
		change.Diff = ""
	}
	return change, nil
}

// touches names the unit, too: systemd may start what was ended again.
func touches(s saved) []runbooks.Touch {
	list := []runbooks.Touch{{Kind: runbooks.TouchProcess, Name: strconv.Itoa(s.Process.PID)}}
	if s.Unit != "" {
		list = append(list, runbooks.Touch{Kind: runbooks.TouchUnit, Name: s.Unit})
	}
	return list
}

// Apply implements engine.Action. It waits for what the signal is for, so that
// the step says how long that took; whether it came is what Verify measures.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	res, err := send(ctx, env, s, s.Signal)
	out := engine.Outcome{ExitCode: res.ExitCode}
	if err != nil {
		return out, err
	}
	out.Changed = fmt.Sprintf("sent %s to process %d (%s), %s", s.Signal, s.Process.PID, s.Program, res.Took.Round(100*time.Millisecond))
	return out, nil
}

// Verify implements engine.Verifier.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	now, err := look(ctx, env, s.Process.PID)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	return s.judge(now)
}

// DidItHappen implements engine.Witness.
func (Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	now, err := look(ctx, env, s.Process.PID)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	return s.happened(now)
}

// CanUndo implements engine.Undoer.
func (Action) CanUndo(c engine.Change) string {
	s, err := load(c)
	if err != nil {
		return err.Error()
	}
	if s.Signal.opposite() == "" {
		return fmt.Sprintf("a %s that was sent cannot be called back", s.Signal)
	}
	return ""
}

// Undo implements engine.Undoer. A process that somebody else has put back
// meanwhile is left as it is.
func (Action) Undo(ctx context.Context, env *engine.Env, c engine.Change) error {
	s, err := load(c)
	if err != nil {
		return err
	}
	back := s.Signal.opposite()
	if back == "" {
		return fault.New(fault.Invalid, "%s has no opposite", s.Signal)
	}
	now, err := look(ctx, env, s.Process.PID)
	if err != nil {
		return err
	}
	if !s.Process.is(now) {
		return fault.New(fault.NotFound, "process %d, begun at tick %d, is gone", s.Process.PID, s.Process.Start)
	}
	if back.holds(now) {
		return nil
	}
	if _, err := send(ctx, env, s, back); err != nil {
		return err
	}
	if now, err = look(ctx, env, s.Process.PID); err != nil {
		return err
	}
	if !s.Process.is(now) || !back.holds(now) {
		return fault.New(fault.Internal, "process %d was sent %s and is in state %s", s.Process.PID, back, now.State)
	}
	return nil
}

// Subjects implements engine.SubjectTeller.
func (Action) Subjects(_ *engine.Env, c engine.Change) engine.Subjects {
	s, err := load(c)
	if err != nil || s.Unit == "" {
		return engine.Subjects{}
	}
	return engine.Subjects{Units: []string{s.Unit}}
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read which process was planned")
	}
	if s.Process.PID < 2 || !slices.Contains(signals(), s.Signal) {
		return s, fault.New(fault.Internal, "no signal %q to process %d was planned", s.Signal, s.Process.PID)
	}
	return s, nil
}

// Package sysctl is the action that sets one parameter of the running kernel,
// and, when asked, also for the boots to come, in a file of its own. Only keys
// of an allow-list; never one by which the kernel runs a program, stops the
// host, or drops a defence. What was there before is written down, to the
// letter, and put back by the undo.
package sysctl

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/kept"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Action is the action "sysctl".
type Action struct{}

var (
	_ engine.Action   = Action{}
	_ engine.Verifier = Action{}
	_ engine.Undoer   = Action{}
	_ engine.Witness  = Action{}
)

// with is the action's part of a step.
type with struct {
	key, value *expr.Template
	persist    bool
}

// saved is what is known before the step acts.
type saved struct {
	Key  string `json:"key"`
	Was  string `json:"was"` // as the kernel shows it, tabs and all
	Want string `json:"want"`
	File *file  `json:"file,omitempty"` // nil: it is not kept over a boot
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "sysctl" }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Key     *yamlx.Node `yaml:"key,required"`
		Value   *yamlx.Node `yaml:"value,required"`
		Persist bool        `yaml:"persist"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	w := with{persist: raw.Persist}
	for _, part := range []struct {
		n    *yamlx.Node
		into **expr.Template
	}{{raw.Key, &w.key}, {raw.Value, &w.value}} {
		text, ok := part.n.Scalar()
		if !ok {
			return runbooks.Decoded{}, part.n.Errorf("a value is expected; several numbers are one text, apart by blanks")
		}
		t, err := c.Env.CompileTemplate(text)
		if err != nil {
			return runbooks.Decoded{}, part.n.Errorf("%v", err)
		}
		*part.into = t
	}
	key, constant := w.key.Constant()
	if constant {
		if err := checkKey(key); err != nil {
			return runbooks.Decoded{}, raw.Key.Errorf("%v", err)
		}
	}
	if value, ok := w.value.Constant(); ok && constant {
		if err := checkValue(key, value); err != nil {
			return runbooks.Decoded{}, raw.Value.Errorf("%v", err)
		}
	}
	return runbooks.Decoded{
		With: w, Effect: runbooks.Write, OwnVerify: true, OwnUndo: true,
		Repeat: runbooks.Repeat{Always: true}, // asked first, by DidItHappen; to set a value twice is to set it once
	}, nil
}

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by sysctl", env.Step.ID)
	}
	s, err := w.fill(ctx, env)
	if err != nil {
		return engine.Change{}, err
	}
	if s.Was, err = read(ctx, env, s.Key); err != nil {
		return engine.Change{}, err
	}
	if w.persist {
		if s.File, err = planFile(ctx, env, s.Key, s.Want); err != nil {
			return engine.Change{}, err
		}
	}
	change := engine.Change{
		Verify: fmt.Sprintf("%s is %s", s.Key, s.Want), Undo: fmt.Sprintf("%s is %s again", s.Key, normal(s.Was)),
		Noop: normal(s.Was) == s.Want, Touches: []runbooks.Touch{{Kind: runbooks.TouchSysctl, Name: s.Key}},
	}
	if !change.Noop {
		change.Argv = s.argv(s.Want)
		change.Diff = fmt.Sprintf("--- %s\n-%s\n+%s\n", s.Key, normal(s.Was), s.Want)
	}
	if s.File != nil {
		change.Verify += ", and " + s.File.Path + " sets it"
		if !s.File.isAsPlanned(s.File.Before, s.File.Existed) {
			change.Noop = false
			change.Diff += s.File.diff()
			// In the last two lies what was in a file that an undo takes away.
			for _, name := range []string{s.File.Path, kept.Root("0"), path.Join(kept.Root("0"), "*")} {
				change.Touches = append(change.Touches, runbooks.Touch{Kind: runbooks.TouchFile, Name: name})
			}
		}
	}
	if change.Saved, err = json.Marshal(s); err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the value of %s", s.Key)
	}
	return change, nil
}

func (w with) fill(ctx context.Context, env *engine.Env) (saved, error) {
	var s saved
	var err error
	if s.Key, err = w.key.Render(ctx, env.Vars); err != nil {
		return s, err
	}
	value, err := w.value.Render(ctx, env.Vars)
	if err != nil {
		return s, err
	}
	if err := checkKey(s.Key); err != nil {
		return s, fault.New(fault.Denied, "%v", err)
	}
	if err := checkValue(s.Key, value); err != nil {
		return s, fault.New(fault.Denied, "%v", err)
	}
	s.Want = normal(value)
	return s, nil
}

// read returns the value as the kernel shows it, without the line feed.
func read(ctx context.Context, env *engine.Env, key string) (string, error) {
	res, err := env.Read(ctx, "cat", "--", "/proc/sys/"+keyPath(key))
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	value := strings.TrimSuffix(string(res.Stdout), "\n")
	if res.Truncated || strings.Contains(value, "[redacted") || strings.Contains(value, "\n") {
		return "", fault.New(fault.Denied, "%s is not a key with a value of one line", key)
	}
	return value, nil
}

// argv sets the key by its path, in which a dot is a dot (sysctl(8)).
func (s saved) argv(value string) []string {
	return []string{"sysctl", "-w", keyPath(s.Key) + "=" + value}
}

// Apply implements engine.Action. What holds already is left alone, so that a
// step that was cut off half-way is completed.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	now, err := read(ctx, env, s.Key)
	if err != nil {
		return engine.Outcome{}, err
	}
	if now != s.Was && normal(now) != s.Want {
		return engine.Outcome{}, fault.New(fault.Denied, "%s was %s and is %s: it has changed since the plan", s.Key, normal(s.Was), normal(now))
	}
	var text string
	var exists bool
	if s.File != nil {
		if text, exists, err = readFile(ctx, env, s.File.Path); err != nil {
			return engine.Outcome{}, err
		}
		if !s.File.isAsBefore(text, exists) && !s.File.isAsPlanned(text, exists) {
			return engine.Outcome{}, fault.New(fault.Denied, "%s has changed since the plan", s.File.Path)
		}
	}
	if normal(now) != s.Want {
		if err := s.set(ctx, env, s.Want); err != nil {
			return engine.Outcome{}, err
		}
	}
	if s.File != nil && !s.File.isAsPlanned(text, exists) {
		if err := s.File.write(ctx, env, s.File.Text); err != nil {
			return engine.Outcome{}, err
		}
	}
	return engine.Outcome{Changed: fmt.Sprintf("%s: %s -> %s", s.Key, normal(s.Was), s.Want)}, nil
}

func (s saved) set(ctx context.Context, env *engine.Env, value string) error {
	res, err := env.Act(ctx, s.argv(value)...)
	if err == nil {
		err = res.Err()
	}
	return err
}

// Verify implements engine.Verifier.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	now, err := read(ctx, env, s.Key)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	got := engine.Reading{Truth: expr.True, Text: fmt.Sprintf("%s is %s", s.Key, normal(now))}
	if normal(now) != s.Want {
		got.Truth = expr.False
	}
	if s.File == nil || got.Truth == expr.False {
		return got
	}
	text, exists, err := readFile(ctx, env, s.File.Path)
	switch {
	case err != nil:
		return engine.Unknown(err.Error())
	case !s.File.isAsPlanned(text, exists):
		return engine.Reading{Truth: expr.False, Text: got.Text + ", and " + s.File.Path + " does not set it"}
	}
	got.Text += ", and " + s.File.Path + " sets it"
	return got
}

// DidItHappen implements engine.Witness. Who set the value is not seen, and
// does not count.
func (a Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	return a.Verify(ctx, env, c, engine.Outcome{})
}

// CanUndo implements engine.Undoer.
func (Action) CanUndo(c engine.Change) string {
	if _, err := load(c); err != nil {
		return err.Error()
	}
	return ""
}

// Undo implements engine.Undoer. A value, or a file, that somebody else has
// changed meanwhile is left as it is, and nothing is put back half.
func (Action) Undo(ctx context.Context, env *engine.Env, c engine.Change) error {
	s, err := load(c)
	if err != nil {
		return err
	}
	now, err := read(ctx, env, s.Key)
	if err != nil {
		return err
	}
	if now != s.Was && normal(now) != s.Want {
		return fault.New(fault.Conflict, "%s is %s, set by somebody else, and is left as it is", s.Key, normal(now))
	}
	if s.File != nil {
		if err := s.File.restore(ctx, env); err != nil {
			return err
		}
	}
	if now == s.Was {
		return nil
	}
	if err := s.set(ctx, env, s.Was); err != nil {
		return err
	}
	if now, err = read(ctx, env, s.Key); err == nil && now != s.Was {
		err = fault.New(fault.Internal, "%s was to be %q again, and is %q", s.Key, s.Was, now)
	}
	return err
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read what was planned for a sysctl key")
	}
	if err := checkKey(s.Key); err != nil {
		return s, fault.New(fault.Internal, "%v", err)
	}
	return s, nil
}

// Package truncatelog is the action that empties a log which processes hold
// open, where deleting it would free nothing. It empties the file in place, by
// truncate(1) on the very inode that was planned, however the name is turned
// meanwhile. The file must be a regular one with one name inside the agent's
// clean-up roots, with no link on the way.
//
// Processes that write to it must append (O_APPEND): any other goes on writing
// at its old offset, and the file becomes a sparse one of the same size. What is
// in the log is gone, but for the last bytes of it, which the step may keep on
// the host. That is irreversible.
package truncatelog

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/kept"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// maxKeep bounds what is kept: this action frees space.
const maxKeep = 64 << 20

// Action is the action "truncate_log".
type Action struct {
	// Kept is the folder in which the end of the log is kept; "" is that of
	// package kept.
	Kept string
}

var (
	_ engine.Action        = Action{}
	_ engine.OnlyFiles     = Action{}
	_ engine.Verifier      = Action{}
	_ engine.Witness       = Action{}
	_ engine.SubjectTeller = Action{}
)

type with struct {
	path *expr.Template
	keep *expr.Template // nil keeps nothing
}

// saved is what was planned.
type saved struct {
	Path   string `json:"path"`
	Keep   int64  `json:"keep"`           // bytes
	Into   string `json:"into,omitempty"` // the folder of this step; "" keeps nothing
	Before log    `json:"before"`
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "truncate_log" }

// ChangesOnlyFiles implements engine.OnlyFiles.
func (Action) ChangesOnlyFiles() {}

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Path *yamlx.Node `yaml:"path,required"`
		Keep *yamlx.Node `yaml:"keep"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	var w with
	var err error
	if w.path, err = c.Text(raw.Path, checkPath); err != nil {
		return runbooks.Decoded{}, err
	}
	if raw.Keep != nil {
		if w.keep, err = c.Text(raw.Keep, func(s string) error { _, err := parseKeep(s); return err }); err != nil {
			return runbooks.Decoded{}, err
		}
	}
	return runbooks.Decoded{
		With: w, Effect: runbooks.Irreversible, OwnVerify: true, DestroysEvidence: true,
		Repeat: runbooks.Repeat{Always: true}, // asked first: the same inode, not smaller than it was
	}, nil
}

func checkPath(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" || !utf8.ValidString(p) {
		return fmt.Errorf("%q is not a clean absolute path of a file", p)
	}
	return nil
}

func parseKeep(s string) (int64, error) {
	n, err := expr.ByteSize(s)
	if err != nil || n > maxKeep {
		return 0, fmt.Errorf("keep is %q, not a size like 1MiB, of at most %s", s, expr.ByteText(maxKeep))
	}
	return n, nil
}

// Plan implements engine.Action.
func (a Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by truncate_log", env.Step.ID)
	}
	s, err := w.fill(ctx, env)
	if err != nil {
		return engine.Change{}, err
	}
	h := host{env}
	if err := h.inside(ctx, s.Path); err != nil {
		return engine.Change{}, err
	}
	if s.Before, err = h.look(ctx, s.Path); err != nil {
		return engine.Change{}, err
	}
	if err := s.Before.admit(s.Path); err != nil {
		return engine.Change{}, err
	}
	writers, err := h.writers(ctx, s.Path)
	if err != nil {
		return engine.Change{}, err
	}
	if err := writers.admit(s.Path); err != nil {
		return engine.Change{}, err
	}
	touches := []runbooks.Touch{{Kind: runbooks.TouchFile, Name: s.Path}}
	if s.Keep > 0 {
		root := a.Kept
		if root == "" {
			root = kept.Root(s.Before.EUID)
		}
		s.Into = path.Join(root, kept.Name(env.Now(), env.Step.ID+" "+s.Path))
		touches = append(touches, runbooks.Touch{Kind: runbooks.TouchFile, Name: root}, runbooks.Touch{Kind: runbooks.TouchFile, Name: path.Join(root, "*")})
	}
	body, err := json.Marshal(s)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode what was planned for %s", s.Path)
	}
	c := engine.Change{Noop: s.Before.Size == 0, Verify: s.Path + " is the same file, and smaller than it was", Saved: body, Touches: touches}
	if !c.Noop {
		c.Diff = diff(s, writers)
	}
	return c, nil
}

func (w with) fill(ctx context.Context, env *engine.Env) (saved, error) {
	var s saved
	var err error
	if s.Path, err = w.path.Render(ctx, env.Vars); err != nil {
		return saved{}, err
	}
	if err := checkPath(s.Path); err != nil {
		return saved{}, fault.New(fault.Invalid, "%v", err)
	}
	if w.keep == nil {
		return s, nil
	}
	text, err := w.keep.Render(ctx, env.Vars)
	if err != nil {
		return saved{}, err
	}
	if s.Keep, err = parseKeep(text); err != nil {
		return saved{}, fault.New(fault.Invalid, "%v", err)
	}
	return s, nil
}

// diff says what goes. It holds no size, which would be another one a moment
// later and void the plan.
func diff(s saved, w writers) string {
	var b strings.Builder
	fmt.Fprintf(&b, "--- %q\n-all that is in it\n", s.Path)
	if s.Keep > 0 {
		fmt.Fprintf(&b, " its last %s are kept in %s on the host\n", expr.ByteText(s.Keep), path.Dir(s.Into))
	}
	fmt.Fprintf(&b, " %s\n", w.inWords())
	return b.String()
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	h := host{env}
	if err := h.inside(ctx, s.Path); err != nil {
		return engine.Outcome{}, err
	}
	now, err := h.look(ctx, s.Path)
	if err != nil {
		return engine.Outcome{}, err
	}
	if !now.sameFile(s.Before) || now.Size < s.Before.Size {
		return engine.Outcome{}, changed(s.Path)
	}
	writers, err := h.writers(ctx, s.Path)
	if err != nil {
		return engine.Outcome{}, err
	}
	if err := writers.admit(s.Path); err != nil {
		return engine.Outcome{}, err
	}
	if err := h.truncate(ctx, s); err != nil {
		return engine.Outcome{}, err
	}
	text := fmt.Sprintf("emptied %s, which had %s", s.Path, expr.ByteText(now.Size))
	if s.Into != "" {
		text += "; its end is kept in " + s.Into
	}
	return engine.Outcome{Changed: text}, nil
}

func changed(name string) error {
	return fault.New(fault.Denied, "%s is no longer what it was when this was planned, and was left alone", name)
}

// Verify implements engine.Verifier. Only truncation makes a file smaller.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	s, now, err := look(ctx, env, c)
	switch {
	case err != nil:
		return engine.Unknown(err.Error())
	case !now.sameFile(s.Before):
		return engine.Reading{Truth: expr.False, Text: s.Path + " is another file now"}
	}
	text := fmt.Sprintf("%s has %s in %s on disk, and had %s", s.Path, expr.ByteText(now.Size), expr.ByteText(now.onDisk()), expr.ByteText(s.Before.Size))
	if s.Before.Size > 0 && now.Size >= s.Before.Size {
		return engine.Reading{Truth: expr.False, Text: text}
	}
	return engine.Reading{Truth: expr.True, Text: text}
}

// DidItHappen implements engine.Witness.
func (a Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	s, now, err := look(ctx, env, c)
	if err == nil && !now.sameFile(s.Before) {
		return engine.Unknown(s.Path + " is another file now")
	}
	return a.Verify(ctx, env, c, engine.Outcome{})
}

// Subjects implements engine.SubjectTeller.
func (Action) Subjects(_ *engine.Env, c engine.Change) engine.Subjects {
	s, err := load(c)
	if err != nil {
		return engine.Subjects{}
	}
	return engine.Subjects{Files: []string{s.Path}}
}

func look(ctx context.Context, env *engine.Env, c engine.Change) (saved, log, error) {
	s, err := load(c)
	if err != nil {
		return s, log{}, err
	}
	now, err := host{env}.look(ctx, s.Path)
	return s, now, err
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read what was planned for a log")
	}
	return s, nil
}

// number reads one of the numbers that stat printed.
func number(s string, base int) int64 {
	n, err := strconv.ParseInt(s, base, 64)
	if err != nil {
		return -1
	}
	return n
}

// Package cleanup is the action that deletes files by rule: regular files below
// one directory whose names match, that nobody has touched for a while, all but
// the newest, never more than planned. The directory must lie inside the
// agent's own allow-list. It follows no links, leaves its file system never,
// and deletes no file that a process has open. What it deletes is gone: that is
// irreversible, and left to a person, unless a person has decided it before. The
// owner of the host does so with a budget in the inventory, which names the
// directory and the files that may go (docs/decisions/0009).
package cleanup

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Bounds of one step.
const (
	maxFiles    = runbooks.MaxParts // the oldest; what is left is for the next run
	maxPatterns = 100
	maxDepth    = 8   // directories below the path
	batchFiles  = 100 // for one command: with paths of PATH_MAX far below ARG_MAX (execve(2))
)

// Action is the action "cleanup".
type Action struct{}

var (
	_ engine.Action        = Action{}
	_ engine.OnlyFiles     = Action{}
	_ engine.Verifier      = Action{}
	_ engine.Witness       = Action{}
	_ engine.Narrower      = Action{}
	_ engine.SubjectTeller = Action{}
)

// with is the action's part of a step.
type with struct {
	path   *expr.Template
	match  []*expr.Template
	keep   *expr.Template // nil: none stays
	minAge *expr.Template
}

// rule is with, filled in.
type rule struct {
	Dir      string
	Patterns []string
	Keep     int
	MinAge   time.Duration
}

// saved is what was planned: exactly these files, and no others, may go.
type saved struct {
	Dir   string `json:"dir"` // links resolved
	Files []file `json:"files"`
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "cleanup" }

// ChangesOnlyFiles implements engine.OnlyFiles.
func (Action) ChangesOnlyFiles() {}

// Decode implements runbooks.Decoder. An age must be said: a rule without one
// would delete what is being written.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Path   *yamlx.Node `yaml:"path,required"`
		Match  *yamlx.Node `yaml:"match,required"`
		Keep   *yamlx.Node `yaml:"keep"`
		MinAge *yamlx.Node `yaml:"min_age,required"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	var w with
	var err error
	if w.path, err = compile(raw.Path, c); err != nil {
		return runbooks.Decoded{}, err
	}
	if w.minAge, err = compile(raw.MinAge, c); err != nil {
		return runbooks.Decoded{}, err
	}
	if raw.Keep != nil {
		if w.keep, err = compile(raw.Keep, c); err != nil {
			return runbooks.Decoded{}, err
		}
	}
	if w.match, err = patterns(raw.Match, c); err != nil {
		return runbooks.Decoded{}, err
	}
	return runbooks.Decoded{
		With: w, Effect: runbooks.Write, OwnVerify: true, DestroysEvidence: true,
		Repeat: runbooks.Repeat{Always: true}, // what was planned, by inode: asked first, and harmless twice
	}, nil
}

func compile(n *yamlx.Node, c *runbooks.StepContext) (*expr.Template, error) {
	text, ok := n.Scalar()
	if !ok || text == "" {
		return nil, n.Errorf("a value is expected")
	}
	t, err := c.Env.CompileTemplate(text)
	if err != nil {
		return nil, n.Errorf("%v", err)
	}
	return t, nil
}

// patterns reads a list of patterns, or one patterns input for all of them.
func patterns(n *yamlx.Node, c *runbooks.StepContext) ([]*expr.Template, error) {
	items := n.Items()
	if text, ok := n.Scalar(); ok {
		if _, list := c.ListInput(text); !list {
			return nil, n.Errorf("match is a list of file name patterns, or one input of type patterns")
		}
		items = []*yamlx.Node{n}
	}
	if len(items) == 0 || len(items) > maxPatterns {
		return nil, n.Errorf("match is a list of 1 to %d file name patterns", maxPatterns)
	}
	var out []*expr.Template
	for _, item := range items {
		t, err := compile(item, c)
		if err != nil {
			return nil, err
		}
		if len(t.Vars()) == 0 {
			if err := checkPattern(t.Source()); err != nil {
				return nil, item.Errorf("%v", err)
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// checkPattern takes patterns of path.Match for file names. One that takes
// every name is no rule.
func checkPattern(p string) error {
	if _, err := path.Match(p, "x"); err != nil || p == "" {
		return fmt.Errorf("%q is not a pattern", p)
	}
	if path.Base(p) != p {
		return fmt.Errorf("pattern %q is for file names and holds a slash", p)
	}
	if all, _ := path.Match(p, "\x01any name\x01"); all {
		return fmt.Errorf("pattern %q takes every file, which is no rule", p)
	}
	return nil
}

// fill evaluates the rule.
func fill(ctx context.Context, env *engine.Env) (rule, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return rule{}, fault.New(fault.Internal, "step %s was not read by cleanup", env.Step.ID)
	}
	var r rule
	var err error
	if r.Dir, err = w.path.Render(ctx, env.Vars); err != nil {
		return rule{}, err
	}
	if !path.IsAbs(r.Dir) || path.Clean(r.Dir) != r.Dir {
		return rule{}, fault.New(fault.Invalid, "%q is not a clean absolute path", r.Dir)
	}
	for _, t := range w.match {
		more, err := engine.RenderElement(ctx, t, env.Vars)
		if err != nil {
			return rule{}, err
		}
		r.Patterns = append(r.Patterns, more...)
	}
	if len(r.Patterns) == 0 {
		return rule{}, fault.New(fault.Invalid, "the rule for %s has no patterns", r.Dir)
	}
	for _, p := range r.Patterns {
		if err := checkPattern(p); err != nil {
			return rule{}, fault.New(fault.Invalid, "%v", err)
		}
	}
	age, err := w.minAge.Render(ctx, env.Vars)
	if err != nil {
		return rule{}, err
	}
	if r.MinAge, err = time.ParseDuration(age); err != nil || r.MinAge < 0 {
		return rule{}, fault.New(fault.Invalid, "min_age is %q, not a duration like 1h", age)
	}
	if w.keep != nil {
		keep, err := w.keep.Render(ctx, env.Vars)
		if err != nil {
			return rule{}, err
		}
		if r.Keep, err = strconv.Atoi(keep); err != nil || r.Keep < 0 {
			return rule{}, fault.New(fault.Invalid, "keep is %q, not a number of files", keep)
		}
	}
	return r, nil
}

// Plan implements engine.Action: the dry count comes first.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	r, err := fill(ctx, env)
	if err != nil {
		return engine.Change{}, err
	}
	h := host{env}
	dir, err := h.resolveInside(ctx, r.Dir)
	if err != nil {
		return engine.Change{}, err
	}
	all, err := h.list(ctx, dir)
	if err != nil {
		return engine.Change{}, err
	}
	open, err := h.openFiles(ctx)
	if err != nil {
		return engine.Change{}, err
	}
	chosen := choose(all, r, open, env.Now())
	left := max(0, len(chosen)-maxFiles)
	chosen = chosen[:min(len(chosen), maxFiles)]
	c, err := change(saved{Dir: dir, Files: chosen}, left)
	if !slices.ContainsFunc(env.Budgets, r.isDeclaredBy) {
		c.Effect = runbooks.Irreversible
	}
	return c, err
}

// isDeclaredBy reports whether the rule deletes nothing but what the budget
// says may go.
func (r rule) isDeclaredBy(b entity.Budget) bool {
	named := func(pattern string) bool { return slices.Contains(b.Delete, pattern) }
	return r.Dir == b.Path && r.Keep >= b.Keep && r.MinAge >= b.MinAge &&
		!slices.ContainsFunc(r.Patterns, func(p string) bool { return !named(p) })
}

func change(s saved, left int) (engine.Change, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the files to delete")
	}
	parts, touches := []string{}, []runbooks.Touch{}
	for _, f := range s.Files {
		parts = append(parts, f.mark())
		touches = append(touches, runbooks.Touch{Kind: runbooks.TouchFile, Name: strings.ToValidUTF8(string(f.Path), "\uFFFD")})
	}
	return engine.Change{
		Diff: diff(s.Files, left), Noop: len(s.Files) == 0, Parts: parts, Touches: touches, Saved: body,
		Verify: fmt.Sprintf("the %d files are gone", len(s.Files)),
	}, nil
}

// PartName implements engine.Narrower.
func (Action) PartName() string { return "file" }

// Narrow implements engine.Narrower.
func (Action) Narrow(c engine.Change, keep func(part string) bool) (engine.Change, error) {
	s, err := load(c)
	if err != nil {
		return engine.Change{}, err
	}
	s.Files = slices.DeleteFunc(s.Files, func(f file) bool { return !keep(f.mark()) })
	return change(s, 0)
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	h := host{env}
	if _, err := h.resolveInside(ctx, s.Dir); err != nil {
		return engine.Outcome{}, err
	}
	open, err := h.openFiles(ctx)
	if err != nil {
		return engine.Outcome{}, err
	}
	var deleted []file
	for from := 0; from < len(s.Files); from += batchFiles {
		batch := []file{}
		for _, f := range s.Files[from:min(from+batchFiles, len(s.Files))] {
			if !open[string(f.Path)] {
				batch = append(batch, f)
			}
		}
		gone, err := h.delete(ctx, batch)
		deleted = append(deleted, gone...)
		if err != nil {
			return outcome(deleted), err
		}
	}
	return outcome(deleted), nil
}

// Verify implements engine.Verifier.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	left, err := host{env}.remaining(ctx, s)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	text := fmt.Sprintf("%d of %d files are gone", len(s.Files)-left, len(s.Files))
	if left > 0 {
		return engine.Reading{Truth: expr.False, Text: text}
	}
	return engine.Reading{Truth: expr.True, Text: text}
}

// DidItHappen implements engine.Witness. Half done is not done: the rest may
// be deleted, since it is still what was planned.
func (a Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	return a.Verify(ctx, env, c, engine.Outcome{})
}

// Subjects implements engine.SubjectTeller.
func (Action) Subjects(_ *engine.Env, c engine.Change) engine.Subjects {
	s, err := load(c)
	if err != nil {
		return engine.Subjects{}
	}
	files := []string{}
	for _, v := range slices.Backward(s.Files) { // the newest say most
		files = append(files, string(v.Path))
	}
	return engine.Subjects{Files: files}
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read which files were planned")
	}
	return s, nil
}

func outcome(deleted []file) engine.Outcome {
	var bytes int64
	for _, f := range deleted {
		bytes += f.Size
	}
	var text strings.Builder
	fmt.Fprintf(&text, "deleted %d files, %s", len(deleted), expr.ByteText(bytes))
	for i, f := range deleted {
		if i == 20 {
			fmt.Fprintf(&text, ", and %d more", len(deleted)-i)
			break
		}
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		fmt.Fprintf(&text, "%s%q", separator, f.Path)
	}
	return engine.Outcome{Changed: text.String()}
}

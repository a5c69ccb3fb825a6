package file

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/kept"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Plan implements engine.Action.
func (a Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, err := fill(ctx, env)
	if err != nil {
		return engine.Change{}, err
	}
	h := host{env}
	given := w.Path
	if w.follows {
		if w.Path, err = h.resolve(ctx, w.Path); err != nil {
			return engine.Change{}, err
		}
	}
	most := maxFileBytes
	if w.isAttributes() {
		most = -1
	}
	p, err := h.look(ctx, w.Path, most)
	if err != nil {
		return engine.Change{}, err
	}
	if err := w.admit(p); err != nil {
		return engine.Change{}, err
	}
	if err := h.userExists(ctx, w.Owner.User); err != nil {
		return engine.Change{}, err
	}
	s := saved{
		Path: w.Path, New: path.Join(p.Dir, newPrefix+path.Base(w.Path)), Before: p.File, Owner: w.Owner,
		Keep: path.Join(a.root(p.UID), kept.Name(env.Now(), env.Step.ID+" "+w.Path)),
	}
	old, new, err := w.edit(ctx, h, &s)
	if err != nil {
		return engine.Change{}, err
	}
	if s.Validate, err = w.renderValidate(ctx, env, s.New); err != nil {
		return engine.Change{}, err
	}
	c, err := s.change(old, new)
	if err != nil || c.Noop {
		return c, err
	}
	return c, s.refuseManaged(env, given, old, c.Diff)
}

func (a Action) root(uid string) string {
	if a.Kept != "" {
		return a.Kept
	}
	return kept.Root(uid)
}

func (w want) isAttributes() bool {
	return w.content == nil && w.key == nil && w.line == nil && !w.absent
}

// admit refuses files that are not what they seem, or not safe to edit.
func (w want) admit(p place) error {
	real := path.Join(p.Dir, path.Base(w.Path))
	switch who := p.foreign(); {
	case p.File.Link:
		return fault.New(fault.Denied, "%s is a symbolic link", w.Path).WithHint("name the file that it leads to, or say follow: true")
	case real != w.Path:
		return fault.New(fault.Denied, "%s is reached through a symbolic link, and is really %s", w.Path, real).WithHint("name %s, or say follow: true", real)
	case who != "":
		return fault.New(fault.Denied, "%s, who may write to a folder on the way to %s, could put another file in its place meanwhile", who, w.Path).
			WithHint("let the step run as the owner of the folder: as: USER")
	case !p.File.Exists && w.content == nil && !w.absent:
		return fault.New(fault.NotFound, "there is no file %s", w.Path).WithHint("a file is made by content")
	case p.File.Exists && !p.File.Regular:
		return fault.New(fault.Denied, "%s is no regular file", w.Path)
	case p.File.Names > 1:
		return fault.New(fault.Denied, "%s has %d names (hard links), and would be changed under one of them", w.Path, p.File.Names)
	case setsID(p.File.Mode) && (!w.isAttributes() || w.Mode == "") && !w.absent:
		return fault.New(fault.Denied, "%s has the set-user-ID or set-group-ID bit, and is not edited", w.Path)
	}
	return nil
}

func setsID(mode string) bool {
	bits, _ := strconv.ParseUint(mode, 8, 32)
	return bits&0o6000 != 0
}

// edit finds what is to become of the file, and returns its old and new lines
// as far as they may be shown.
func (w want) edit(ctx context.Context, h host, s *saved) (old text, new []string, err error) {
	s.Mode = s.Before.Mode
	switch {
	case w.Mode != "":
		s.Mode = w.Mode
	case !s.Before.Exists:
		s.Mode = newFileMode
	}
	if w.isAttributes() {
		s.Kind = attributes
		old, err = h.header(ctx, s.Path)
		return old, nil, err
	}
	if w.absent && !s.Before.Exists {
		s.Kind = removes
		return text{}, nil, nil
	}
	var data []byte
	whole := true
	if s.Before.Exists {
		if data, whole, err = h.content(ctx, s.Path, s.Before); err != nil {
			return text{}, nil, err
		}
	}
	old = lines(data)
	switch {
	case w.absent:
		s.Kind, s.Mode = removes, ""
		return old, nil, nil
	case w.content != nil:
		s.Splice = splice{Insert: []byte(w.Content)}
	default:
		done, err := w.splice(s, data, old, whole)
		if err != nil {
			return text{}, nil, err
		}
		if done {
			s.Kind, s.After = replaces, s.Before.Digest
			return old, old.lines, nil
		}
	}
	if s.After, err = h.spliced(ctx, s.Path, s.Splice); err != nil {
		return text{}, nil, err
	}
	switch {
	case !s.Before.Exists:
		s.Kind = creates
	case s.After == s.Before.Digest:
		s.Kind = attributes
	default:
		s.Kind = replaces
	}
	return old, s.Splice.apply(old), nil
}

// splice finds the place of the edit of a key or a line.
func (w want) splice(s *saved, data []byte, old text, whole bool) (done bool, err error) {
	switch {
	case string(redact.New().Redact([]byte(w.Line))) != w.Line:
		return false, fault.New(fault.Denied, "the line holds a secret, and whether it is there already cannot be seen").WithHint("give the whole content")
	case strings.ContainsRune(string(data), 0):
		return false, fault.New(fault.Denied, "%s is no text: it holds NUL bytes", s.Path)
	case !whole && strings.Count(string(data), "\n") != s.Before.Lines:
		return false, fault.New(fault.Denied, "%s holds a secret of several lines, such as a private key, and its lines cannot be told apart", s.Path).
			WithHint("change it by hand, or give the whole content")
	case w.key != nil:
		s.Splice, done, err = setKey(old, w.Key, w.Value)
	default:
		s.Splice, done, err = ensureLine(old, w.Line, w.match, w.behind)
	}
	if err != nil {
		return false, fmt.Errorf("edit %s: %w", s.Path, err)
	}
	return done, nil
}

// change is the plan's form of what was found.
func (s saved) change(old text, new []string) (engine.Change, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode what was planned for %s", s.Path)
	}
	c := engine.Change{Noop: s.isAfter(s.Before), Verify: s.inWords(), Saved: body, Touches: []runbooks.Touch{
		{Kind: runbooks.TouchFile, Name: s.Path},
		{Kind: runbooks.TouchFile, Name: s.New},
		{Kind: runbooks.TouchFile, Name: path.Dir(s.Keep)},
		{Kind: runbooks.TouchFile, Name: path.Join(path.Dir(s.Keep), "*")},
	}}
	if !c.Noop {
		c.Diff = diff(s, old.lines, new)
		c.Undo = fmt.Sprintf("put back %s as it was, with its attributes, from what is kept in %s", s.Path, path.Dir(s.Keep))
	}
	return c, nil
}

func (s saved) inWords() string {
	if s.Kind == removes {
		return s.Path + " is gone"
	}
	text := fmt.Sprintf("%s has mode %s", s.Path, s.Mode)
	if who := s.ownerInWords(); who != "" {
		text += ", owner " + who
	}
	if s.Kind != attributes {
		text += " and the text of the plan"
	}
	if len(s.Validate) > 0 {
		text += fmt.Sprintf("; before it is put in place, %q accepts it", s.Validate)
	}
	return text
}

func (s saved) ownerInWords() string {
	user, group := s.Owner.User, s.Owner.Group
	if s.Before.Exists && user == "" {
		user = s.Before.User
	}
	if s.Before.Exists && group == "" {
		group = s.Before.Group
	}
	return owner{user, group}.String()
}

// refuseManaged refuses what configuration management would put back. The
// error holds what to change there.
func (s saved) refuseManaged(env *engine.Env, given string, old text, patch string) error {
	who := ""
	for _, name := range []string{s.Path, given} {
		if p := managedPattern(name, env.ManagedFiles); p != "" && who == "" {
			who = fmt.Sprintf("configuration management (managed_files %q of this agent's guard)", p)
		}
	}
	if tool := managedBy(old); tool != "" && who == "" {
		who = tool + ", as its first lines say"
	}
	if tool := managedBlock(old, s.Splice.Head); tool != "" && s.Splice.Tail > 0 && who == "" {
		who = tool + ", in a block of its own"
	}
	if who == "" {
		return nil
	}
	return fault.New(fault.Denied, "%s belongs to %s, and is not edited by a runbook; the patch would be:\n%s", s.Path, who, patch).
		WithHint("make this change in configuration management")
}

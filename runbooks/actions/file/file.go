// Package file is the action that edits one file of a host: its whole text, a
// key, a line, its mode and owner, or that it is gone. The new file is written
// beside the old one with all its attributes, checked by a command of the
// runbook's, and put in its place by a rename, so that no reader ever sees half
// of it; a crash leaves at most a file ".secondline-new.NAME", which the next
// run moves away. What was there is kept on the host, byte for byte with its
// attributes, in a folder that only the step's user may enter, and is put back
// by undo unless somebody has changed the file meanwhile.
//
// It follows no link unless told to, and leaves alone what configuration
// management owns, saying what would have to be changed there. Between the last
// look at a file and the rename lies a moment in which another program's change
// would be lost from the file; it is then found neither in the file nor in what
// is kept. Flags of chattr(1) are not carried over.
package file

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// newPrefix begins the name of a new file until it is put in its place. The
// name's end stays: programs tell by it what to check.
const newPrefix = ".secondline-new."

// newFileMode is that of a file which was not there, unless the step says more.
const newFileMode = "0644"

// Action is the action "file".
type Action struct {
	// Kept is the folder in which what was there before is kept. "" is
	// /var/lib/secondline-backups, and for a step that is not root's
	// /var/tmp/secondline-backups-UID.
	Kept string
}

var (
	_ engine.Action        = Action{}
	_ engine.Verifier      = Action{}
	_ engine.Undoer        = Action{}
	_ engine.Witness       = Action{}
	_ engine.SubjectTeller = Action{}
	_ runbooks.Verbatim    = Action{}
)

// kind is what becomes of a file.
type kind string

const (
	replaces   kind = "replace"
	creates    kind = "create"
	attributes kind = "attributes" // mode and owner, in place
	removes    kind = "remove"
)

// done is the kind in the past.
func (k kind) done() string {
	switch k {
	case replaces:
		return "replaced"
	case creates:
		return "created"
	case attributes:
		return "mode and owner changed"
	case removes:
		return "moved away"
	}
	return string(k)
}

// saved is what was planned.
type saved struct {
	Path     string   `json:"path"` // links resolved
	New      string   `json:"new"`  // the new file until the rename
	Keep     string   `json:"keep"` // the folder of this step
	Kind     kind     `json:"kind"`
	Before   state    `json:"before"`
	After    string   `json:"after,omitempty"` // digest
	Mode     string   `json:"mode,omitempty"`  // afterwards
	Owner    owner    `json:"owner,omitzero"`  // what it says is to be so afterwards; the rest stays
	Splice   splice   `json:"splice"`
	Validate []string `json:"validate,omitempty"`
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "file" }

// Verbatim implements runbooks.Verbatim: validate reads ${file} too.
func (Action) Verbatim() []string { return []string{"validate"} }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	w, err := read(n, c)
	if err != nil {
		return runbooks.Decoded{}, err
	}
	return runbooks.Decoded{
		With: w, Effect: runbooks.Write, OwnVerify: true, OwnUndo: true,
		Repeat: runbooks.Repeat{Always: true}, // asked first, and nothing is done to a file that is not as planned
	}, nil
}

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
		Keep: path.Join(a.kept(p.UID), fmt.Sprintf("%s-%s", env.Now().UTC().Format("20060102T150405.000000000"), digestOf([]byte(env.Step.ID + w.Path))[:8])),
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

func (a Action) kept(uid string) string {
	switch {
	case a.Kept != "":
		return a.Kept
	case uid == "0":
		return "/var/lib/secondline-backups"
	}
	return "/var/tmp/secondline-backups-" + uid
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
		{Kind: runbooks.TouchFile, Name: path.Dir(s.Keep)}, {Kind: runbooks.TouchFile, Name: path.Join(path.Dir(s.Keep), "*")},
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

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	h := host{env}
	if err := h.stillAsPlanned(ctx, s); err != nil {
		return engine.Outcome{}, err
	}
	mode, attributesOnly := "", ""
	if s.Owner.String() != "" || s.Kind == creates || s.Mode != s.Before.Mode {
		mode = s.Mode
	}
	if s.Kind == attributes {
		attributesOnly = "--attributes-only"
	}
	was := s.was()
	keep := []string{s.Before.Digest, attributesOnly}
	switch s.Kind {
	case removes:
		err = h.act(ctx, "remove", removeScript, s, was, nil, keep...)
	case attributes:
		err = h.act(ctx, "change", attributesScript, s, was, nil, append(keep, s.Mode, s.Owner.String())...)
	case replaces, creates:
		args := append(keep, strconv.Itoa(s.Splice.Head), strconv.Itoa(s.Splice.Tail), s.After, mode, s.Owner.String())
		if err = h.act(ctx, "write", stageScript, s, was, s.Splice.Insert, args...); err != nil {
			break
		}
		if err = h.validate(ctx, s); err != nil {
			break
		}
		err = h.act(ctx, "replace", commitScript, s, was, nil, s.After)
	}
	if err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{Changed: fmt.Sprintf("%s: %s; what was there is kept in %s", s.Path, s.Kind.done(), s.Keep)}, nil
}

// was is what the scripts compare with before they act.
func (s saved) was() string {
	if s.Kind == attributes {
		return s.Before.Inode
	}
	return s.Before.id()
}

// most is how much of the file is read for a digest.
func (s saved) most() int {
	if s.Kind == attributes {
		return -1
	}
	return maxFileBytes
}

// stillAsPlanned looks once more, at the way to the file too.
func (h host) stillAsPlanned(ctx context.Context, s saved) error {
	p, err := h.look(ctx, s.Path, s.most())
	if err != nil {
		return err
	}
	same := s.isBefore(p.File) && p.foreign() == "" && path.Join(p.Dir, path.Base(s.Path)) == s.Path
	if !same {
		return fault.New(fault.Denied, "%s is no longer what it was when this was planned, and was left alone", s.Path)
	}
	return nil
}

// validate asks the runbook's program about the new file. One that is not
// accepted is moved away.
func (h host) validate(ctx context.Context, s saved) error {
	if len(s.Validate) == 0 {
		return nil
	}
	res, err := h.env.Act(ctx, s.Validate...)
	if err == nil {
		err = res.Err()
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("the new text of %s was not accepted: %w", s.Path, err)
	if bad := h.act(ctx, "discard", discardScript, s, "", nil); bad != nil {
		return fmt.Errorf("%w (and %s is left: %v)", err, s.New, bad) //nolint:errorlint // the first error is the one that counts
	}
	return err
}

// isBefore reports whether nobody has touched the file since it was planned.
func (s saved) isBefore(now state) bool {
	if s.Kind == attributes {
		return now.Exists && now.Inode == s.Before.Inode
	}
	return now.Exists == s.Before.Exists && now.id() == s.Before.id() && now.Digest == s.Before.Digest
}

// isAfter reports whether the file is what was wanted.
func (s saved) isAfter(now state) bool {
	if s.Kind == removes {
		return !now.Exists
	}
	return now.Exists && now.Regular && now.Mode == s.Mode && (s.Kind == attributes || now.Digest == s.After) && s.Owner.holds(now) &&
		(!s.Before.Exists || s.Owner.User != "" || now.UID == s.Before.UID) && (!s.Before.Exists || s.Owner.Group != "" || now.GID == s.Before.GID)
}

// isRestored reports whether the file is what it was, if under another inode.
func (s saved) isRestored(now state) bool {
	b := s.Before
	return now.Exists == b.Exists && now.Regular == b.Regular && now.Mode == b.Mode && now.UID == b.UID && now.GID == b.GID &&
		(s.Kind == attributes || now.Digest == b.Digest)
}

// Verify implements engine.Verifier: the server's own digest tells.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	s, now, err := look(ctx, env, c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	if s.isAfter(now) {
		return engine.Reading{Truth: expr.True, Text: s.Path + ": " + now.words()}
	}
	return engine.Reading{Truth: expr.False, Text: fmt.Sprintf("%s: %s; it should be: %s", s.Path, now.words(), s.inWords())}
}

// DidItHappen implements engine.Witness.
func (Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	s, now, err := look(ctx, env, c)
	switch {
	case err != nil:
		return engine.Unknown(err.Error())
	case s.isAfter(now):
		return engine.Reading{Truth: expr.True, Text: s.Path + ": " + now.words()}
	case s.isBefore(now):
		return engine.Reading{Truth: expr.False, Text: s.Path + " is untouched"}
	}
	return engine.Unknown(s.Path + " is neither what it was nor what it was to become: " + now.words())
}

// CanUndo implements engine.Undoer.
func (Action) CanUndo(engine.Change) string { return "" }

// Undo implements engine.Undoer.
func (Action) Undo(ctx context.Context, env *engine.Env, c engine.Change) error {
	s, now, err := look(ctx, env, c)
	if err != nil {
		return err
	}
	h := host{env}
	if s.isBefore(now) {
		return nil
	}
	if !s.isAfter(now) {
		res, err := env.Read(ctx, "sh", "-c", untouchedScript, "untouched", s.Keep)
		if err != nil {
			return fmt.Errorf("look at %s: %w", s.Keep, err)
		}
		if res.ExitCode == 0 {
			return nil
		}
		return fault.New(fault.Denied, "%s was changed by somebody else since, and was left alone", s.Path).WithHint("what was there before is kept in %s", s.Keep)
	}
	was := now.id()
	if s.Kind == attributes {
		was = now.Inode
	}
	if err := h.act(ctx, "restore", restoreScript, s, was, nil, string(s.Kind), s.Before.Digest, s.After); err != nil {
		return err
	}
	if s, now, err = look(ctx, env, c); err != nil {
		return err
	}
	if !s.isRestored(now) {
		return fault.New(fault.Internal, "%s was put back, but is not what it was: %s", s.Path, now.words())
	}
	return nil
}

// Subjects implements engine.SubjectTeller.
func (Action) Subjects(_ *engine.Env, c engine.Change) engine.Subjects {
	s, err := load(c)
	if err != nil || !s.Before.Exists {
		return engine.Subjects{}
	}
	return engine.Subjects{Files: []string{s.Path}}
}

func look(ctx context.Context, env *engine.Env, c engine.Change) (saved, state, error) {
	s, err := load(c)
	if err != nil {
		return s, state{}, err
	}
	p, err := host{env}.look(ctx, s.Path, s.most())
	return s, p.File, err
}

func (s state) words() string {
	switch {
	case !s.Exists:
		return "not there"
	case !s.Regular:
		return "no regular file"
	}
	text := fmt.Sprintf("%d bytes, mode %s, owner %s:%s", s.Size, s.Mode, s.User, s.Group)
	if s.Digest != "" {
		text += ", sha256 " + s.Digest[:maxShownBytes]
	}
	return text
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read what was planned for a file")
	}
	return s, nil
}

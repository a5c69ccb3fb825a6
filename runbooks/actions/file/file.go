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
	// Kept is the folder in which what was there before is kept; "" is
	// /var/lib/secondline-backups, and /var/tmp/secondline-backups-UID for a
	// step that is not root's.
	Kept string
}

var (
	_ engine.Action        = Action{}
	_ engine.OnlyFiles     = Action{}
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

// ChangesOnlyFiles implements engine.OnlyFiles.
func (Action) ChangesOnlyFiles() {}

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
		err = h.act(ctx, s, deed{"remove", removeScript, was, nil}, keep...)
	case attributes:
		err = h.act(ctx, s, deed{"change", attributesScript, was, nil}, append(keep, s.Mode, s.Owner.String())...)
	case replaces, creates:
		args := append(keep, strconv.Itoa(s.Splice.Head), strconv.Itoa(s.Splice.Tail), s.After, mode, s.Owner.String())
		if err = h.act(ctx, s, deed{"write", stageScript, was, s.Splice.Insert}, args...); err != nil {
			break
		}
		if err = h.validate(ctx, s); err != nil {
			break
		}
		err = h.act(ctx, s, deed{"replace", commitScript, was, nil}, s.After)
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
		return s.changed()
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
	if bad := h.act(ctx, s, deed{"discard", discardScript, "", nil}); bad != nil {
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
	if err := h.act(ctx, s, deed{"restore", restoreScript, was, nil}, string(s.Kind), s.Before.Digest, s.After); err != nil {
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

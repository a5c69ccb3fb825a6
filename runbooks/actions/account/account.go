// Package account is the action that makes the password of a local account
// unusable, or usable again: usermod(8) puts a mark before the password's hash,
// and takes it away. The hash stays, so that the way back needs no secret; it is
// never printed, read or compared by anybody but the host. No password is set:
// none could come here without passing through plans and journals.
//
// A locked password keeps nobody out who has a key, a ticket or a session, or
// who becomes the account by sudo (passwd(1), --lock): its jobs and services run
// on. Accounts that are not of /etc/passwd (LDAP) are not known here.
package account

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
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

// State is what the password of an account is brought into.
type State string

// The states that a step can ask for.
const (
	Locked   State = "locked"
	Unlocked State = "unlocked"
)

func states() []State { return []State{Locked, Unlocked} }

// What a password can be (shadow(5)); the words of stateScript.
const (
	isSet    = "set"
	isLocked = "locked"   // there is one behind the mark
	isNone   = "none"     // no password fits
	isOpen   = "open"     // none is asked for
	isAbsent = "no-entry" // the file has no such account
)

// Action is the action "account".
type Action struct {
	// Root is the folder in which etc/passwd and etc/shadow are; "" is /.
	Root string
}

var (
	_ engine.Action   = Action{}
	_ engine.Verifier = Action{}
	_ engine.Undoer   = Action{}
	_ engine.Witness  = Action{}
)

type with struct {
	name  *expr.Template
	state State
}

// saved is what is known before the step acts.
type saved struct {
	Name   string  `json:"name"`
	State  State   `json:"state"`
	Before reading `json:"before"`
}

// reading is what may be known of an account's password.
type reading struct {
	Password string `json:"password"`
	Changed  string `json:"changed,omitempty"` // day of its last change, since 1970
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "account" }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Name     *yamlx.Node `yaml:"name,required"`
		Password *yamlx.Node `yaml:"password,required"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	name, err := c.Text(raw.Name, checkName)
	if err != nil {
		return runbooks.Decoded{}, err
	}
	word, _ := raw.Password.Scalar()
	state := State(word)
	if !slices.Contains(states(), state) {
		return runbooks.Decoded{}, raw.Password.Errorf("password is one of %v", states()).WithHint("no runbook sets a password: it would stand in plans and journals")
	}
	return runbooks.Decoded{
		With: with{name, state}, Deed: string(state), Effect: runbooks.Write, OwnVerify: true, OwnUndo: true,
		Repeat: runbooks.Repeat{Always: true}, // asked first, by DidItHappen
	}, nil
}

// checkName takes the names that useradd(8) makes, and never root: who has
// nothing but that password would be out.
func checkName(name string) error {
	switch {
	case !regexp.MustCompile(`\A[a-z_][a-z0-9_-]{0,31}\z`).MatchString(name):
		return fmt.Errorf("%q is not the name of an account", name)
	case name == "root":
		return fmt.Errorf("the password of root is a matter for people")
	}
	return nil
}

// Plan implements engine.Action.
func (a Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by account", env.Step.ID)
	}
	s := saved{State: w.state}
	var err error
	if s.Name, err = w.name.Render(ctx, env.Vars); err != nil {
		return engine.Change{}, err
	}
	if err := checkName(s.Name); err != nil {
		return engine.Change{}, fault.New(fault.Invalid, "%v", err)
	}
	if s.Before, err = a.look(ctx, env, s.Name); err != nil {
		return engine.Change{}, err
	}
	if err := s.mayChange(); err != nil {
		return engine.Change{}, err
	}
	change := engine.Change{Noop: s.holds(s.Before), Verify: fmt.Sprintf("the password of %s is %s", s.Name, s.State)}
	if change.Saved, err = json.Marshal(s); err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the state of %s", s.Name)
	}
	if !change.Noop {
		change.Argv = a.usermod(s.State, s.Name)
		change.Diff = fmt.Sprintf("--- account %s\n-password: %s\n+password: %s\n", s.Name, s.Before.Password, s.State)
		change.Undo = strings.Join(a.usermod(s.State.opposite(), s.Name), " ")
		change.Touches = []runbooks.Touch{{Kind: runbooks.TouchUser, Name: s.Name}}
		for _, file := range []string{"passwd", "passwd-", "shadow", "shadow-"} { // usermod keeps the last ones
			change.Touches = append(change.Touches, runbooks.Touch{Kind: runbooks.TouchFile, Name: a.file(file)})
		}
	}
	return change, nil
}

// mayChange refuses what has no way there or back.
func (s saved) mayChange() error {
	switch {
	case s.Before.Password == isAbsent:
		return fault.New(fault.NotFound, "there is no local account %s with a password entry", s.Name)
	case s.Before.Password == isOpen:
		return fault.New(fault.Denied, "account %s asks for no password at all: to unlock it again would not lead back there", s.Name)
	case s.State == Unlocked && s.Before.Password == isNone:
		return fault.New(fault.Denied, "account %s has no password that could be unlocked", s.Name)
	}
	return nil
}

// holds reports whether the password is as wanted: that none fits is as good as
// that the one there is locked.
func (s saved) holds(now reading) bool {
	if s.State == Locked {
		return now.Password == isLocked || now.Password == isNone
	}
	return now.Password == isSet
}

func (s State) opposite() State {
	if s == Locked {
		return Unlocked
	}
	return Locked
}

func (a Action) usermod(state State, name string) []string {
	argv := []string{"usermod"}
	if a.Root != "" {
		argv = append(argv, "--prefix", a.Root)
	}
	option := "--lock"
	if state == Unlocked {
		option = "--unlock"
	}
	return append(argv, option, "--", name)
}

func (a Action) file(name string) string { return path.Join("/", a.Root, "etc", name) }

// stateScript says in a word what the password of an account is, and when it
// was changed last. Nothing of the hash leaves the host.
const stateScript = `BEGIN { name = ARGV[2]; ARGV[2] = ""; word = "no-entry"; day = "" }
$1 == name {
	day = $3
	if ($2 == "") word = "open"
	else if ($2 ~ /^[!*]+$/) word = "none"
	else if ($2 ~ /^!/) word = "locked"
	else word = "set"
}
END { print word, day }`

func (a Action) look(ctx context.Context, env *engine.Env, name string) (reading, error) {
	res, err := env.Read(ctx, "awk", "-F:", stateScript, a.file("shadow"), name)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return reading{}, fmt.Errorf("look at the account %s: %w", name, err)
	}
	word, day, _ := strings.Cut(strings.TrimRight(string(res.Stdout), "\n"), " ")
	if !slices.Contains([]string{isSet, isLocked, isNone, isOpen, isAbsent}, word) {
		return reading{}, fault.New(fault.Internal, "%q says nothing of the account %s", word, name)
	}
	return reading{word, day}, nil
}

// Apply implements engine.Action.
func (a Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	now, err := a.look(ctx, env, s.Name)
	if err != nil {
		return engine.Outcome{}, err
	}
	if now != s.Before {
		return engine.Outcome{}, fault.New(fault.Denied, "the world drifted: the password of %s was changed by somebody else", s.Name)
	}
	res, err := env.Act(ctx, c.Argv...)
	if err != nil {
		return engine.Outcome{}, err
	}
	return engine.Outcome{ExitCode: res.ExitCode, Changed: fmt.Sprintf("the password of %s was %s", s.Name, s.State)}, res.Err()
}

// Verify implements engine.Verifier.
func (a Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	s, now, err := a.read(ctx, env, c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	return told(s.holds(now), s, now)
}

// DidItHappen implements engine.Witness.
func (a Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	s, now, err := a.read(ctx, env, c)
	switch {
	case err != nil:
		return engine.Unknown(err.Error())
	case !s.holds(now) && now != s.Before:
		return engine.Unknown(fmt.Sprintf("the password of %s is %s, and was %s", s.Name, now.Password, s.Before.Password))
	}
	return told(s.holds(now), s, now)
}

func told(yes bool, s saved, now reading) engine.Reading {
	text := fmt.Sprintf("the password of %s is %s", s.Name, now.Password)
	if yes {
		return engine.Reading{Truth: expr.True, Text: text}
	}
	return engine.Reading{Truth: expr.False, Text: text}
}

// CanUndo implements engine.Undoer.
func (Action) CanUndo(engine.Change) string { return "" }

// Undo implements engine.Undoer.
func (a Action) Undo(ctx context.Context, env *engine.Env, c engine.Change) error {
	s, now, err := a.read(ctx, env, c)
	switch {
	case err != nil:
		return err
	case now == s.Before:
		return nil
	case !s.holds(now) || now.Changed != s.Before.Changed:
		return fault.New(fault.Conflict, "somebody else has changed the password of %s since", s.Name)
	}
	res, err := env.Act(ctx, a.usermod(s.State.opposite(), s.Name)...)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return err
	}
	if _, now, err = a.read(ctx, env, c); err == nil && now != s.Before {
		err = fault.New(fault.Internal, "the password of %s was %s and is %s", s.Name, s.Before.Password, now.Password)
	}
	return err
}

func (a Action) read(ctx context.Context, env *engine.Env, c engine.Change) (saved, reading, error) {
	s, err := load(c)
	if err != nil {
		return s, reading{}, err
	}
	now, err := a.look(ctx, env, s.Name)
	return s, now, err
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read what was planned for an account")
	}
	if !slices.Contains(states(), s.State) {
		return s, fault.New(fault.Internal, "no state %q of a password", s.State)
	}
	return s, nil
}

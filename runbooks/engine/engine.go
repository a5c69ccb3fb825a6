// Package engine carries a runbook out on one target: it plans by reading,
// acts step by step with an intent on disk before each and an outcome after
// it, believes nothing that was not measured, and takes back what was refuted.
// After a crash it asks what happened and never repeats a step blindly. It
// knows no action by name (runbooks/actions), no probe, and no agent.
package engine

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// Deps are what the engine works with.
type Deps struct {
	Actions []Action
	Probes  ProbeReader
	Specs   runbooks.ProbeSpecs // the same that the runbook was parsed with
	Journal Journal
	Now     func() time.Time
	Sleep   func(ctx context.Context, d time.Duration) bool // waits, and reports whether ctx let it; nil: a real timer
	OnEvent func(Event)                                     // progress for the live view; called in order, must not block; nil is allowed
	MaxHold time.Duration                                   // shortens every hold; 0 does not
	// Heard is when the controller was last surely heard from, by an agent that runs on the target itself. nil for every other, which
	// could not take a step back that has cut it off.
	Heard func() time.Time
	// MayBegin is asked before each attempt of a step: an error begins nothing more. nil begins all. It is for a run that is taken up
	// only to take back what may have cut off its host.
	MayBegin     func() error
	CleanupRoots []string // the only places where files may be deleted
	ManagedFiles []string // patterns of files that something else than runbooks keeps as they are
	Secrets      Secrets  // nil: there are none, and a plan that needs one is refused
	// Gate is what each command is asked of when its plan is made, so that nobody approves what would be refused; the Runner's own is
	// asked again when it runs. nil refuses nothing.
	Gate remote.Gate
	// CommandOutlives is how long after its step's time-out a command may be at work whose agent was killed over it. 0 means as long
	// as its target lets it (remote.EndsWithin); below 0, that none does (a crash that is only played).
	CommandOutlives time.Duration
	Logger          *slog.Logger
}

// ProbeReader reads a probe on a server. Its duties: change nothing; return an
// error when the reading cannot tell, which every expression over it then
// cannot either.
type ProbeReader interface {
	Read(ctx context.Context, r remote.Runner, probe string, args map[string]string) (map[string]any, error)
}

// Secrets are those of the agent. Its duties: Has says why a secret cannot be
// given, without handing it out, and is all that is asked when planning; whatever Get
// returns is known to the redactor of the run's Runner before Get returns. An
// error names the secret and holds nothing of it. Both are safe for concurrent use.
type Secrets interface {
	Has(ctx context.Context, name string) error
	Get(ctx context.Context, name string) (redact.Secret, error)
}

// Binding is a runbook with what it is bound to.
type Binding struct {
	Runbook    *runbooks.Runbook
	Entity     entity.Entity     // what the hypothesis is about
	Hypothesis map[string]any    // nil when a person starts the runbook without one
	Given      map[string]string // inputs from a person
	Target     entity.Entity     // the host that is acted on
}

// vars are the values that expressions read, all but the inputs.
func (b Binding) vars() map[string]any {
	return runbooks.FromVars(b.Hypothesis, b.Entity, b.Target)
}

// Event is progress. Losing one loses nothing.
type Event struct {
	At   time.Time
	Kind string // "step", "command", "output", "undo"
	Step string
	Text string // of a command: its words, not redacted; "" when it has ended
	// Of a step: what it became, and how long it may stay so at most (0 is not known).
	Status  runbooks.StepStatus
	Timeout time.Duration
	// Of an output: the end of what a command has written so far, redacted by the Runner.
	Output []byte
}

// Action is a kind of step. Its duties: Plan only reads, and names everything
// that Apply may change; Apply changes nothing that Plan did not name, and
// returns the Runner's errors as they are, or one of fault.OutcomeUnknown when a
// program has ended without telling whether it did its deed (a request that was
// sent and not answered). What is known beforehand and needed later goes into
// Change.Saved, which is on disk before Apply begins.
type Action interface {
	runbooks.Decoder
	Plan(ctx context.Context, env *Env) (Change, error)
	Apply(ctx context.Context, env *Env, c Change) (Outcome, error)
}

// Verifier is an action that measures its own result. The zero Outcome means
// that the outcome was lost in a crash, but the change is known to have happened.
type Verifier interface {
	Verify(ctx context.Context, env *Env, c Change, o Outcome) Reading
}

// Undoer is an action that takes its own change back. CanUndo says why this
// change cannot be taken back, or "".
type Undoer interface {
	CanUndo(c Change) string
	Undo(ctx context.Context, env *Env, c Change) error
}

// Witness is an action that can look whether its change happened after the
// time. It must say cannot tell when in doubt.
type Witness interface {
	DidItHappen(ctx context.Context, env *Env, c Change, since time.Time) Reading
}

// SubjectTeller is an action that knows what its step is about, so that the
// evidence saved first is about the same.
type SubjectTeller interface {
	Subjects(env *Env, c Change) Subjects
}

// Subjects are the units and files that a step touches.
type Subjects struct {
	Units []string
	Files []string
}

// Change is what a step is going to do, as read on the target.
type Change struct {
	Argv   []string        `json:"argv,omitempty"`
	Diff   string          `json:"diff,omitempty"`
	Noop   bool            `json:"noop,omitempty"`   // the wanted state already holds
	Effect runbooks.Effect `json:"effect,omitempty"` // of this very change, where it is stronger than that of its step; see stronger
	Verify string          `json:"verify,omitempty"` // in words, of an action that verifies itself
	Undo   string          `json:"undo,omitempty"`   // in words, of an action that undoes itself
	Parts  []string        `json:"parts,omitempty"`  // of an action that can be narrowed: a mark for each part; at most runbooks.MaxParts
	// Touches is all that Apply and Undo may change.
	Touches []runbooks.Touch `json:"touches,omitempty"`
	Saved   json.RawMessage  `json:"saved,omitempty"`
}

// Outcome is what a step did.
type Outcome struct {
	ExitCode int             `json:"exit_code"`
	Changed  string          `json:"changed,omitempty"`
	Saved    json.RawMessage `json:"saved,omitempty"` // for Verify

	// What the step's outputs read: what its command printed, or the fields of a
	// reading. They are not kept.
	Stdout, Stderr []byte         `json:"-"`
	Result         map[string]any `json:"-"`
}

// Reading is the answer to a question, with the sentence for people.
type Reading struct {
	Truth  expr.Truth
	Text   string
	Values string // the readings behind Text, alone; "" when they were not told apart
}

// action returns the action of the name. A runbook was parsed with the
// decoders of actions, so a missing one is a fault of this agent's build.
func (d Deps) action(name string) (Action, error) {
	if slices.Contains([]string{runbooks.StepWait, runbooks.StepNote, runbooks.StepEscalate, runbooks.StepProbe, runbooks.StepApprove}, name) {
		return word{name}, nil
	}
	for _, a := range d.Actions {
		if a.Name() == name {
			return a, nil
		}
	}
	return nil, fault.New(fault.Invalid, "this agent has no action %q", name)
}

// serial returns the same, whose OnEvent is called by one at a time.
func (d Deps) serial() Deps {
	var mu sync.Mutex
	if tell := d.OnEvent; tell != nil {
		d.OnEvent = func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			tell(e)
		}
	}
	return d
}

func (d Deps) sleep(ctx context.Context, pause time.Duration) bool {
	if d.Sleep != nil {
		return d.Sleep(ctx, pause)
	}
	return sleep(ctx, pause)
}

func (d Deps) event(e Event) {
	if d.OnEvent != nil {
		e.At = d.Now()
		d.OnEvent(e)
	}
}

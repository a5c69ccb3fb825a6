package runbooks

import (
	"cmp"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
)

// Effect says what a step does to its target.
type Effect string

// The effects of a step.
const (
	Read         Effect = "read"
	Write        Effect = "write"
	Irreversible Effect = "irreversible" // always needs a person
)

// Level is how far a runbook may go by itself.
type Level string

// The levels, least first. A runbook's autonomy is only a ceiling; the level
// in force is the controller's policy.
const (
	Observe Level = "observe"
	Suggest Level = "suggest"
	Approve Level = "approve"
	Auto    Level = "auto"
)

// above reports whether l lets a runbook do more by itself than other.
func (l Level) above(other Level) bool {
	levels := []Level{Observe, Suggest, Approve, Auto}
	return slices.Index(levels, l) > slices.Index(levels, other)
}

// Plan is a runbook bound to inputs, a target and readings: exactly what would
// change where. Its Digest covers the runbook's file, the inputs, the target,
// argv, diffs, parts and the truth of the preconditions; no readings and no
// times, so that it is stable while the world is, and void when it is not.
type Plan struct {
	Digest        string            `json:"digest"`
	Runbook       string            `json:"runbook"`
	Title         string            `json:"title"`
	RunbookDigest string            `json:"runbook_digest"`
	Target        string            `json:"target"`
	Inputs        map[string]string `json:"inputs"`
	Preconditions []Precondition    `json:"preconditions"`
	Steps         []PlannedStep     `json:"steps"`
	Locks         []string          `json:"locks"`
	Rates         []PlannedRate     `json:"rates,omitempty"` // how often such runs may begin
	Effect        Effect            `json:"effect"`          // the strongest of the steps
	Autonomy      Level             `json:"autonomy"`
	Approvals     int               `json:"approvals,omitempty"`         // how many different people have to say yes; 0 leaves it to the level
	ApproveRole   string            `json:"approve_role,omitempty"`      // the least role of those; "" leaves it to the effect
	ApproveWithin time.Duration     `json:"approve_within_ns,omitempty"` // 0 leaves it to the policy
	WorstCase     time.Duration     `json:"worst_case_ns"`
	Refused       string            `json:"refused,omitempty"` // why it must not run: a precondition is false or cannot tell
	MadeAt        time.Time         `json:"made_at"`           // not in the digest
}

// Precondition is one `require` of a runbook with its outcome on the target.
type Precondition struct {
	That    string     `json:"that"`
	Say     string     `json:"say,omitempty"` // for people when it is true; "" shows That
	Because string     `json:"because"`       // for people when it is false: why that refuses
	Truth   expr.Truth `json:"truth"`
	Why     string     `json:"why,omitempty"`    // That with its truth and the values behind it
	Values  string     `json:"values,omitempty"` // the values alone; "" in what was stored before they were told apart
}

// Answer is the outcome in a word for people.
func (c Precondition) Answer() string {
	switch c.Truth {
	case expr.True:
		return "yes"
	case expr.False:
		return "no"
	case expr.CannotTell:
	}
	return "cannot tell"
}

// Sentence says what was found, for people. Because is said of a refusal only:
// beside a requirement that holds it would say the opposite of what is so.
func (c Precondition) Sentence() string {
	text, values := cmp.Or(c.Why, c.That), ""
	switch c.Truth {
	case expr.True:
		text, values = cmp.Or(c.Say, c.That), c.Values
	case expr.False:
		text, values = cmp.Or(c.Because, c.That), cmp.Or(c.Values, c.Why)
	case expr.CannotTell:
	}
	if values == "" {
		return text
	}
	return text + " (" + values + ")"
}

// PlannedStep is one step as it would run now.
type PlannedStep struct {
	ID        string        `json:"id"`
	Action    string        `json:"action"` // run, unit, cleanup, ...
	Effect    Effect        `json:"effect"`
	Argv      []string      `json:"argv,omitempty"`
	As        string        `json:"as,omitempty"`
	Diff      string        `json:"diff"`           // what would change, unified-diff style; "" when nothing would
	Noop      bool          `json:"noop,omitempty"` // the wanted state already holds
	Phase     Phase         `json:"phase,omitempty"`
	Each      string        `json:"each,omitempty"` // the element that it is about, as "unit = nginx.service"
	When      string        `json:"when,omitempty"` // the condition that is decided on the way, because it reads what steps before it find out
	Skipped   string        `json:"skipped,omitempty"`
	Parts     []string      `json:"parts,omitempty"`   // a mark for each part of the change that may be left out at the run; at most MaxParts
	Touches   []Touch       `json:"touches,omitempty"` // all that it may change
	Preserve  []string      `json:"preserve"`
	Verify    string        `json:"verify"` // in words
	Undo      string        `json:"undo"`   // in words; "none" when it cannot be undone
	Timeout   time.Duration `json:"timeout_ns"`
	Deadman   time.Duration `json:"deadman_ns,omitempty"` // taken back when the agent hears nothing for so long; 0 when it cannot cut its access
	WorstCase time.Duration `json:"worst_case_ns"`
}

// StepStatus is where a step stands in its life.
type StepStatus string

// The life of a step, as DESIGN section 5 draws it.
const (
	StepPlanned   StepStatus = "planned"
	StepIntent    StepStatus = "intent"
	StepRunning   StepStatus = "running"
	StepOutcome   StepStatus = "outcome"
	StepVerifying StepStatus = "verifying"
	StepVerified  StepStatus = "verified"
	StepRefuted   StepStatus = "refuted"
	StepUndoing   StepStatus = "undoing"
	StepUndone    StepStatus = "undone"
	StepStuck     StepStatus = "stuck"
	StepUnknown   StepStatus = "unknown"
	StepSkipped   StepStatus = "skipped"
)

// RunStatus is how a run ended, or that it has not.
type RunStatus string

// The statuses of a run.
const (
	RunPlanned   RunStatus = "planned"
	RunWaiting   RunStatus = "awaiting_approval"
	RunRunning   RunStatus = "running"
	RunVerified  RunStatus = "verified"  // every step verified
	RunUndone    RunStatus = "undone"    // refuted, and everything that could be undone was
	RunRefuted   RunStatus = "refuted"   // refuted, and something could not be undone
	RunUnknown   RunStatus = "unknown"   // a step's outcome is not known
	RunRefused   RunStatus = "refused"   // a limit, a precondition or a drifted plan refused it before any change
	RunRejected  RunStatus = "rejected"  // a person said no
	RunCancelled RunStatus = "cancelled" // stopped by a person; what had been done was undone or is listed
	RunFailed    RunStatus = "failed"    // it could not be carried out, and nothing was changed
)

// StepResult is what became of a step.
type StepResult struct {
	ID         string            `json:"id"`
	Action     string            `json:"action"`
	Effect     Effect            `json:"effect"`
	Status     StepStatus        `json:"status"`
	Verified   bool              `json:"verified"`
	Undone     bool              `json:"undone"`
	StartedAt  time.Time         `json:"started_at"`
	EndedAt    time.Time         `json:"ended_at"`
	ExitCode   int               `json:"exit_code"`
	Each       string            `json:"each,omitempty"`
	Phase      Phase             `json:"phase,omitempty"`
	Changed    string            `json:"changed,omitempty"` // what the action says it changed
	Error      string            `json:"error,omitempty"`
	Measured   []string          `json:"measured"` // the verification's readings, in words: "used 62 % < 85 %"
	Transcript []Exchange        `json:"transcript"`
	Outputs    map[string]any    `json:"outputs,omitempty"`   // what it found out
	Attempts   int               `json:"attempts,omitempty"`  // how often it was tried
	Preserved  map[string][]byte `json:"preserved,omitempty"` // evidence saved before the step, by name
}

// Exchange is one command of a transcript: bounded and redacted.
type Exchange struct {
	At       time.Time     `json:"at"`
	Command  string        `json:"command"`
	As       string        `json:"as,omitempty"`
	ExitCode int           `json:"exit_code"`
	Stdout   string        `json:"stdout,omitempty"`
	Stderr   string        `json:"stderr,omitempty"`
	Error    string        `json:"error,omitempty"`
	Took     time.Duration `json:"took_ns"`
}

// RunResult is what became of a plan.
type RunResult struct {
	PlanDigest string       `json:"plan_digest"`
	Status     RunStatus    `json:"status"`
	Why        string       `json:"why"`
	Steps      []StepResult `json:"steps"`
	StartedAt  time.Time    `json:"started_at"`
	EndedAt    time.Time    `json:"ended_at"`
}

package runbooks

import (
	"time"

	"github.com/secondline-ops/secondline/internal/remote"

	"github.com/secondline-ops/secondline/internal/expr"
)

// Defaults and bounds of the language. Every wait and every size has one.
const (
	DefaultStepTimeout  = 2 * time.Minute
	MaxStepTimeout      = remote.MaxTimeout // of its command: a longer one would be cut, not run
	DefaultDeadline     = 30 * time.Minute
	MaxDeadline         = 24 * time.Hour
	DefaultVerifyWithin = time.Minute
	MaxSteps            = 200
	MinDeadman          = 30 * time.Second // an agent hears from its controller every few seconds
	MaxDeadman          = time.Hour
	MaxFileBytes        = 1 << 20
	MaxParts            = 1000        // of one step's change; they travel with the plan, some 40 bytes each
	VerifyEvery         = time.Second // how often a verification is asked again, at first; backs off to 10 s
)

// Runbook is a parsed and checked runbook. Parse is the only way to get one,
// so whoever holds it may rely on what the loader enforces (Rules).
type Runbook struct {
	Name        string
	Title       string
	Owner       string
	Labels      map[string]string
	Cures       []string // cause ids; none means that only people start it
	SelfService bool
	Inputs      []Input
	MaxTargets  int
	Waves       []Wave   // in which several targets are worked on, each when the one before is verified
	Locks       []string // with ${...}; "host" means the target
	Deadline    time.Duration

	RatePerTarget, RateOverall Rate // the controller counts

	Deadman   time.Duration // of the steps that may cut their own access; 0 when there are none
	Probes    []ProbeUse
	Require   []Requirement
	Steps     []Step // all of them, in the order of the file
	Flow      []Block
	OnFailure []Block
	Always    []Block
	Autonomy  Level
	Escalate  Escalate
	Digest    string // "sha256:" + hex of Source
	Source    []byte
	File      string
	Deeds     []string // of its steps and their undos, as causes forbid them: "unit.restarted"

	language *expr.Language // in which Parse has read it
	called   []*Runbook     // see Called
	size     int            // steps, with those of its calls
}

// InputType is what an input may hold.
type InputType string

// The types of inputs.
const (
	InputString   InputType = "string"
	InputPath     InputType = "path"    // absolute, clean, no "..", no control bytes
	InputUnit     InputType = "unit"    // a systemd unit name
	InputPercent  InputType = "percent" // 0..100
	InputInt      InputType = "int"
	InputBool     InputType = "bool"
	InputDuration InputType = "duration"
	InputBytes    InputType = "bytes"    // "2GiB" or a number of bytes
	InputArgv     InputType = "argv"     // a list of strings; only from the entity, never from a signal
	InputPatterns InputType = "patterns" // a list of file name patterns; only from the entity
)

// Input is a typed value that a person gives or the hypothesis provides.
type Input struct {
	Name        string
	Type        InputType
	From        string // expression over hypothesis, entity and target; "" when only people give it
	Default     string
	Max         string
	Pattern     string   // RE2 that the whole of a text, a path or a unit matches; "" takes all
	Choices     []string // the only values; none takes all
	ChoicesFrom string   // expression over the inputs before it, hypothesis, entity and target that gives the only values
	Description string
	Required    bool
}

// ProbeUse is a probe under a local name. It is read again each time an
// expression uses it.
type ProbeUse struct {
	Name  string
	Probe string
	With  map[string]string // values with ${...} over inputs
}

// Requirement is a precondition: asked before the first step, and refusing
// when false or when it cannot be told.
type Requirement struct {
	That    string
	Say     string // for people when it is true; "" shows That
	Because string // for people when it is false
}

// Step is one thing that a runbook does.
type Step struct {
	ID       string
	If       string   // expression; false skips the step, cannot tell refuses the run before any change, else stops it
	Action   string   // the name of the action: "run", "unit", "cleanup", ...
	With     any      // what the action's own decoder made of its part; see Decoder. Of a word of the language its text
	Secrets  []string // names of those that its action takes
	Effect   Effect
	As       string
	Timeout  time.Duration
	Preserve []string // names of evidence to save first: "journal", "open-files", "log-tail", "processes"; nil when none
	Touches  []Touch  // what it may change besides what its action says; names with ${...}
	Verify   Verify
	Undo     Undo
	Repeat   Repeat
	Retry    Retry
	// Deadman is of a step that may cut off the host that it acts on: when its agent has not heard from the controller for so long
	// after the step began, it takes the step back. 0 is of any other step.
	Deadman time.Duration
	Outputs []Output
	Each    []Each // the foreach blocks around it, the outermost first
	Phase   Phase
	Line    int // in the file, for messages
}

// Verify is what must be true after a step, by when, and for how long.
type Verify struct {
	That   string // expression; "" means that the action verifies itself
	Within time.Duration
	Hold   time.Duration
}

// Undo says how a step is taken back.
type Undo struct {
	None bool     // said aloud: it cannot be undone
	Run  []string // argv with ${...}; for run steps
	Own  bool     // the action brings its own undo
}

// Repeat says what to do when a step's outcome is unknown.
type Repeat struct {
	Always bool   // harmless to repeat: read steps, and actions that are idempotent by their own DidItHappen
	Ask    string // expression that tells whether it happened; may read step.started_at
}

// Escalate is what people are told when the runbook did not help.
type Escalate struct {
	To      string
	Collect []string
	Say     string
}

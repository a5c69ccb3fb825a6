// Package job is the wire contract between controller and agent: what a job
// asks for, what a report says, and both ends of the stream that carries them.
// It decides nothing. The job row in the controller's store is the truth; what
// travels here may arrive twice, late, or not at all.
package job

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// Kind is what a job asks an agent to do.
type Kind string

// The kinds of jobs. Only Run may change a target.
const (
	Diagnose Kind = "diagnose" // read what the causes need; yields facts
	Measure  Kind = "measure"  // ask one predicate again; yields a measurement
	Plan     Kind = "plan"     // bind a runbook to the target; yields a plan
	Run      Kind = "run"      // carry out a plan; yields a run result
	Check    Kind = "check"    // read a health check's probes and ask its expectation
)

// Job is work for one agent on one target. The same ID with a higher Fence is
// the same work, sent again; a lower fence than one seen before is refused.
type Job struct {
	ID       string    `json:"id"`
	Kind     Kind      `json:"kind"`
	Fence    int64     `json:"fence"`
	Incident string    `json:"incident,omitempty"`
	Target   Target    `json:"target"`
	Deadline time.Time `json:"deadline"`

	Diagnose *DiagnoseSpec `json:"diagnose,omitempty"`
	Measure  *MeasureSpec  `json:"measure,omitempty"`
	Plan     *PlanSpec     `json:"plan,omitempty"`
	Run      *RunSpec      `json:"run,omitempty"`
	Check    *CheckSpec    `json:"check,omitempty"`
}

// Target is the host to work on and how its agent reaches it.
type Target struct {
	Entity entity.Entity  `json:"entity"`
	Jump   *entity.Entity `json:"jump,omitempty"` // when Entity.Jump is set
}

// Local reports whether the agent works on the machine it runs on.
func (t Target) Local() bool { return t.Entity.Via != "ssh" }

// DiagnoseSpec asks for the facts that the given causes need.
type DiagnoseSpec struct {
	Causes  []Document        `json:"causes"`           // cause files, so that one added at the controller needs no new agent
	Hints   map[string]string `json:"hints"`            // from the signals: mount, unit, url, alertname ... hostile text
	Alerts  []string          `json:"alerts,omitempty"` // names of all that fire; hostile text
	OnsetAt time.Time         `json:"onset_at"`
	Budget  time.Duration     `json:"budget_ns"`
}

// MeasureSpec asks whether a cause's symptom holds now.
type MeasureSpec struct {
	Cause  Document          `json:"cause"`
	Object map[string]string `json:"object"`
	Hold   time.Duration     `json:"hold_ns"` // how long it must stay gone to count as gone
}

// PlanSpec asks what a runbook would change.
type PlanSpec struct {
	Runbook    Document          `json:"runbook"`
	Called     []Document        `json:"called,omitempty"` // runbooks that it calls, none before those that it calls itself
	Inputs     map[string]string `json:"inputs"`           // given by a person; the rest comes from the hypothesis
	Hypothesis *HypothesisRef    `json:"hypothesis,omitempty"`
}

// HypothesisRef is the part of a hypothesis that a runbook may read.
type HypothesisRef struct {
	Cause    string                `json:"cause"`
	Entity   string                `json:"entity"`
	Object   map[string]string     `json:"object"`
	Band     diagnostics.Band      `json:"band"`
	Evidence map[string]expr.Truth `json:"evidence"` // truth of each evidence by its id
}

// RunSpec asks for a plan to be carried out. The agent plans again and goes on
// only when the digest is still the same, or when what it would do now can be
// made narrower than Plan, which must have that digest.
type RunSpec struct {
	PlanSpec
	PlanDigest  string         `json:"plan_digest"`
	Plan        *runbooks.Plan `json:"plan,omitempty"`        // as approved; without it nothing may differ
	ApprovedBy  []string       `json:"approved_by"`           // people, or "policy:..." when the level in force is auto
	Signature   []byte         `json:"signature,omitempty"`   // over the runbook digest, by a key the controller does not hold; carried, not checked yet
	Certificate []byte         `json:"certificate,omitempty"` // the limits' proof that the blast radius was reserved; carried, not checked yet
	MaxHold     time.Duration  `json:"max_hold_ns,omitempty"` // policy verify.max_hold; 0 means no limit
}

// People are those who approved the plan.
func (s RunSpec) People() []string {
	return slices.DeleteFunc(slices.Clone(s.ApprovedBy), func(by string) bool { return strings.HasPrefix(by, runbooks.ByPolicy) })
}

// CheckSpec asks for a health check: probes by name, and what is expected.
type CheckSpec struct {
	Name   string   `json:"name"`
	Source Document `json:"source"` // the check's file
}

// Document is a YAML file that travels with a job.
type Document struct {
	Name   string `json:"name"`   // file name, for error positions
	Digest string `json:"digest"` // "sha256:" + hex of Body
	Body   []byte `json:"body"`
}

// Verify refuses, with a fault of kind Denied, a document whose digest is not
// that of its bytes.
func (d Document) Verify() error {
	sum := sha256.Sum256(d.Body)
	if d.Digest != "sha256:"+hex.EncodeToString(sum[:]) {
		return fault.New(fault.Denied, "%s has another digest than the job says", d.Name)
	}
	return nil
}

// Status is how a job ended.
type Status string

// The statuses of a report.
const (
	Done    Status = "done"    // the work was carried out; what it found or did is in the report
	Failed  Status = "failed"  // it could not be carried out, and nothing was changed
	Refused Status = "refused" // the agent's own guard said no, before anything happened
	Unknown Status = "unknown" // something may have happened that the agent cannot account for
)

// Report is what came back. An agent keeps it until it was accepted.
type Report struct {
	JobID   string    `json:"job_id"`
	Fence   int64     `json:"fence"`
	Kind    Kind      `json:"kind"`
	Agent   string    `json:"agent"`
	Status  Status    `json:"status"`
	Error   *Problem  `json:"error,omitempty"`
	Started time.Time `json:"started_at"`
	Ended   time.Time `json:"ended_at"`

	Facts       []diagnostics.Fact  `json:"facts,omitempty"`
	Measurement *Measurement        `json:"measurement,omitempty"`
	Plan        *runbooks.Plan      `json:"plan,omitempty"`
	Run         *runbooks.RunResult `json:"run,omitempty"`
}

// Problem is a failure as it travels: its kind, and text for people.
type Problem struct {
	Kind    fault.Kind `json:"kind"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

// Measurement is a predicate asked on the target. Truth is that of the
// statement "the symptom is gone" (Measure) or "the expectation holds" (Check).
type Measurement struct {
	That   string     `json:"that"`
	Truth  expr.Truth `json:"truth"`
	Text   string     `json:"text"` // with the values read, for people
	Facts  []string   `json:"facts"`
	HeldAt time.Time  `json:"held_at,omitzero"` // since when it has held, as far as watched
}

// Event is progress on a job, for the live view. Losing one loses nothing.
type Event struct {
	JobID string    `json:"job_id"`
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"` // "probe", "step", "command", "output", "undo", "again"
	Text  string    `json:"text"`
	Step  string    `json:"step,omitempty"`
	// Doing is what the agent does from then on; nil from an agent that does not tell.
	Doing *Activity `json:"doing,omitempty"`
}

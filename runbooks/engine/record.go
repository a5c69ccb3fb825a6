package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/secondline-ops/secondline/runbooks"
)

// Journal remembers one job across crashes. Append returns when the record is
// on disk; after an error the engine does not do what the record announces.
// Append refuses a second intent for the same attempt of a step.
type Journal interface {
	Append(ctx context.Context, r Record) error
	Records() ([]Record, error)
}

// RecordKind is what a record says.
type RecordKind string

// The kinds of records, in the order in which a run writes them. They are
// those of agent/journal, by the same words. Decided is of a step that did not
// act, and of a block; leaving is of a run that is about to be taken back, left of one whose steps of on_failure and always are
// to follow.
const (
	RecordPlan        RecordKind = "plan"
	RecordIntent      RecordKind = "intent"
	RecordOutcome     RecordKind = "outcome"
	RecordVerified    RecordKind = "verified"
	RecordUndoIntent  RecordKind = "undo_intent"
	RecordUndoOutcome RecordKind = "undo_outcome"
	RecordDecided     RecordKind = "decided"
	RecordLeaving     RecordKind = "leaving"
	RecordLeft        RecordKind = "left"
)

// Record is one entry of a job's journal.
type Record struct {
	Step    string
	Attempt int
	Kind    RecordKind
	At      time.Time
	Data    json.RawMessage
}

// planRecord is written before the first step: the digest of what was approved,
// and exactly what each step will do, which may be less, so that a run that goes on after a crash does
// nothing else.
type planRecord struct {
	Digest    string              `json:"digest"`
	StartedAt time.Time           `json:"started_at"`
	Steps     []stepChange        `json:"steps"`
	Lists     map[string][]string `json:"lists,omitempty"`    // elements of each foreach
	Branches  map[string][]int    `json:"branches,omitempty"` // of each choose those that may be taken, from 0
}

// stepChange is one step of a planRecord.
type stepChange struct {
	ID       string `json:"id"`
	Skipped  string `json:"skipped,omitempty"`
	Narrowed string `json:"narrowed,omitempty"` // in what it is narrower than approved, in words
	Change   Change `json:"change"`
}

// intentRecord carries the evidence, because acting may destroy its source.
type intentRecord struct {
	StartedAt time.Time         `json:"started_at"`
	Preserved map[string][]byte `json:"preserved,omitempty"`
}

// outcomeRecord says what acting gave.
type outcomeRecord struct {
	EndedAt    time.Time           `json:"ended_at"`
	Outcome    Outcome             `json:"outcome"`
	Error      string              `json:"error,omitempty"`
	Known      bool                `json:"known"`   // false: it may or may not have happened
	Touched    bool                `json:"touched"` // something may have been changed
	Transcript []runbooks.Exchange `json:"transcript"`
	Outputs    map[string]any      `json:"outputs,omitempty"`
}

// verdictRecord says what measuring gave.
type verdictRecord struct {
	Verified bool     `json:"verified"`
	Measured []string `json:"measured"`
	Why      string   `json:"why,omitempty"`
	// CannotTell is of one that was not measured false, only never true.
	CannotTell bool `json:"cannot_tell,omitempty"`
}

// decidedRecord says what was decided: that a step is skipped, what measuring
// gave of one that had nothing to change, or which branch a block takes.
type decidedRecord struct {
	Skipped string         `json:"skipped,omitempty"`
	Verdict *verdictRecord `json:"verdict,omitempty"`
	Branch  int            `json:"branch,omitempty"` // from 1; 0 is none
}

// leavingRecord says why a run is taken back, before it is.
type leavingRecord struct {
	Ending    ending `json:"ending"`
	Why       string `json:"why"`
	Cancelled bool   `json:"cancelled,omitempty"`
}

// leftRecord says how the run ended, before what follows in any case.
type leftRecord struct {
	Status runbooks.RunStatus `json:"status"`
	Why    string             `json:"why"`
}

// undoRecord says whether the step was taken back.
type undoRecord struct {
	Undone bool   `json:"undone"`
	Error  string `json:"error,omitempty"`
}

package diagnostics

import "github.com/secondline-ops/secondline/internal/expr"

// Band is how sure a hypothesis is, in words. Only Confirmed may be acted on
// unattended, Likely with approval, anything lower never by the machine.
type Band string

// The bands, surest first.
const (
	Confirmed Band = "confirmed" // a deterministic proof holds
	Likely    Band = "likely"
	Possible  Band = "possible"
	Unlikely  Band = "unlikely"
)

// Role says what a piece of evidence does to its hypothesis.
type Role string

// The roles of evidence.
const (
	Required   Role = "required"   // false rules the cause out; cannot tell keeps it at most possible
	Supporting Role = "supporting" // adds or takes weight
	Refuting   Role = "refuting"   // true rules the cause out; cannot tell keeps it at most likely
	Proof      Role = "proof"      // true, with all required true, confirms
)

// Evidence is a predicate over facts with its outcome for one hypothesis.
type Evidence struct {
	ID     string     `json:"id"`
	Text   string     `json:"text"` // the sentence for people, values filled in
	That   string     `json:"that"` // the expression, so that anyone can evaluate it again
	Role   Role       `json:"role"`
	Truth  expr.Truth `json:"truth"`
	Why    string     `json:"why,omitempty"` // for cannot tell: what was missing
	Facts  []string   `json:"facts"`         // ids of the facts it cites
	Weight float64    `json:"weight"`        // log-odds it contributed
}

// Hypothesis is a cause on an entity, and there on an object.
type Hypothesis struct {
	Cause       string            `json:"cause"`
	Title       string            `json:"title"`
	Entity      string            `json:"entity"`
	Object      map[string]string `json:"object"`
	Probability float64           `json:"probability"`
	Band        Band              `json:"band"`
	For         []Evidence        `json:"for"`
	Against     []Evidence        `json:"against"`
	CannotTell  []Evidence        `json:"cannot_tell"`
	Explains    bool              `json:"explains"` // the cause names the alert of this incident, or its symptom holds now
	Cures       []string          `json:"cures"`    // runbook names, best first
	CauseDigest string            `json:"cause_digest"`
}

// Diagnosis is a ranked list of hypotheses with what could not be told.
type Diagnosis struct {
	Hypotheses  []Hypothesis `json:"hypotheses"`  // best first; ties in cause, then object order
	Unknown     bool         `json:"unknown"`     // no hypothesis is at least likely
	Covers      []Cover      `json:"covers"`      // the fewest hypotheses that together explain the alerts
	Unexplained []string     `json:"unexplained"` // alerts of the incident that nothing at least likely explains
	Why         string       `json:"why"`         // one sentence: why this one, or why unknown
	NotLookedAt []string     `json:"not_looked_at"`
	Subject     *Subject     `json:"subject,omitempty"` // what it is about, as it was then; nil in what was stored before this was kept
}

package bundle

import (
	"slices"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
)

// ReportSchema is the form of report.json.
const ReportSchema = "secondline.report/v1"

// Input is everything a report is composed of, redacted.
type Input struct {
	Version    string
	MadeAt     time.Time
	Incident   incident.Incident
	Events     []incident.Event
	Signals    []incident.Signal
	Facts      []diagnostics.Fact
	Entities   []entity.Entity
	Causes     []job.Document `json:"-"`
	Runbooks   []job.Document `json:"-"`
	Excerpts   map[string]string
	LeftOut    []string
	Redactions map[string]int
	MadeOf     []Item `json:"-"`
}

// Subject is what the diagnosis was about, as it was then: the inventory may
// have changed since. Without a diagnosis, and for one from before its subject
// was kept, it is what the inventory says now.
func (in Input) Subject() diagnostics.Subject {
	d, id := in.Incident.Diagnosis, in.Incident.Entity
	switch {
	case d != nil && d.Subject != nil:
		return *d.Subject
	case d != nil && len(d.Hypotheses) > 0:
		id = d.Hypotheses[0].Entity
	}
	s := diagnostics.Subject{Entity: entity.Entity{ID: id}, Hints: in.Incident.Hints, Onset: in.Incident.OnsetAt}
	if i := slices.IndexFunc(in.Entities, func(e entity.Entity) bool { return e.ID == id }); i >= 0 {
		s.Entity = in.Entities[i]
	}
	return s
}

// Report is the root-cause report: the answer first, then what it rests on.
// report.md and report.html say the same; all three come from this one value.
type Report struct {
	Schema      string         `json:"schema"`
	Version     string         `json:"version"`
	MadeAt      time.Time      `json:"made_at"`
	Incident    Headline       `json:"incident"`
	Answer      []Statement    `json:"answer"`
	Cause       *Hypothesis    `json:"cause"` // the most likely; null when unknown
	Chain       []Link         `json:"chain"` // from the symptom to the cause
	Others      []Hypothesis   `json:"other_hypotheses"`
	NotLookedAt []Statement    `json:"not_looked_at"`
	Impact      []Statement    `json:"impact"`
	Timeline    []Moment       `json:"timeline"`
	Changes     []Moment       `json:"changes"` // on the hosts, as they were read
	Gap         []Statement    `json:"detection_gap"`
	Actions     []Action       `json:"actions"`
	NotDone     []Statement    `json:"not_done"`
	Next        []NextStep     `json:"next_steps"`
	Never       []Statement    `json:"never"`   // what would make it worse
	Prevent     []Statement    `json:"prevent"` // draft of action items
	Whys        []Why          `json:"five_whys"`
	Evidence    []FactEntry    `json:"evidence"`
	Redactions  map[string]int `json:"redactions"`
	LeftOut     []string       `json:"left_out"`
	MadeOf      []Item         `json:"made_of"` // the files it rests on, as the manifest lists them
}

// Headline is what the incident is and how it stands.
type Headline struct {
	ID         string    `json:"id"`
	Number     int64     `json:"number"`
	Title      string    `json:"title"`
	Status     string    `json:"status"`
	Severity   string    `json:"severity"`
	Priority   string    `json:"priority"`
	Entity     string    `json:"entity"`
	OnsetAt    time.Time `json:"onset_at"`
	OpenedAt   time.Time `json:"opened_at"`
	ResolvedAt time.Time `json:"resolved_at,omitzero"`
	Fixed      string    `json:"fixed"` // "measured", "unverified", "no"
}

// Statement is a sentence with the facts and events it rests on: ids like
// "3:disk.usage#1" and "event 7".
type Statement struct {
	Text  string   `json:"text"`
	Cites []string `json:"cites"`
}

// Hypothesis is a cause that was considered.
type Hypothesis struct {
	Cause       string            `json:"cause"`
	Title       string            `json:"title"`
	Entity      string            `json:"entity"`
	Object      map[string]string `json:"object"`
	Band        diagnostics.Band  `json:"band"`
	Probability float64           `json:"probability"`
	For         []Statement       `json:"for"`
	Against     []Statement       `json:"against"`
	CannotTell  []Statement       `json:"cannot_tell"`
	Cures       []string          `json:"cures"`
	Digest      string            `json:"cause_digest"`
}

// LinkKind says what a link of the chain is.
type LinkKind string

// The kinds of links.
const (
	LinkSymptom    LinkKind = "symptom"    // what was noticed
	LinkDependency LinkKind = "dependency" // what the inventory says
	LinkEvidence   LinkKind = "evidence"   // what was read
	LinkCause      LinkKind = "cause"
	LinkOpen       LinkKind = "open" // where the evidence ends
)

// Link is one step from the symptom to the cause: it is so because of the next.
type Link struct {
	Kind LinkKind `json:"kind"`
	Statement
}

// Why is a question of a five-whys. An answer without text is for people.
type Why struct {
	Question string    `json:"question"`
	Answer   Statement `json:"answer"`
}

// Moment is a line of the timeline.
type Moment struct {
	Seq   int64     `json:"seq"` // of the event; 0 for a change that was read
	At    time.Time `json:"at"`
	Actor string    `json:"actor"`
	Kind  string    `json:"kind"`
	Text  string    `json:"text"`
	Cites []string  `json:"cites,omitempty"`
}

// Action is a runbook that ran, or was stopped before it did.
type Action struct {
	Run         string    `json:"run"`
	Runbook     string    `json:"runbook"`
	Title       string    `json:"title"`
	Target      string    `json:"target"`
	PlanDigest  string    `json:"plan_digest"`
	RequestedBy string    `json:"requested_by"`
	Decisions   []string  `json:"decisions"`
	Status      string    `json:"status"`
	Why         string    `json:"why"`
	StartedAt   time.Time `json:"started_at,omitzero"`
	EndedAt     time.Time `json:"ended_at,omitzero"`
	Before      Statement `json:"before"` // what was wrong, as the evidence says
	After       Statement `json:"after"`  // what was measured afterwards
	Steps       []Step    `json:"steps"`
	File        string    `json:"file"` // the plan, in the bundle
}

// Step is what became of one step of an action.
type Step struct {
	ID         string    `json:"id"`
	Action     string    `json:"action"`
	Effect     string    `json:"effect"`
	Status     string    `json:"status"`
	Commands   []Command `json:"commands"`
	Changed    string    `json:"changed"`
	Verify     string    `json:"verify"`   // what was to hold
	Measured   []string  `json:"measured"` // what was read
	Undo       string    `json:"undo"`
	Undone     bool      `json:"undone"`
	Error      string    `json:"error"`
	Transcript string    `json:"transcript"` // file in the bundle; "" when no command ran
}

// Command is one command that ran.
type Command struct {
	At       time.Time `json:"at"`
	Command  string    `json:"command"`
	As       string    `json:"as"`
	ExitCode int       `json:"exit_code"`
	Error    string    `json:"error"`
}

// NextStep is something a person could do.
type NextStep struct {
	Do      string   `json:"do"`
	Command string   `json:"command"` // to copy; "" when there is none
	Why     string   `json:"why"`
	Risk    string   `json:"risk"`
	Expect  string   `json:"expect"` // what it shows if all is as it seems
	Check   string   `json:"check"`  // how to see that it helped
	Undo    string   `json:"undo"`
	Cites   []string `json:"cites"`
}

// FactEntry is a fact in the appendix.
type FactEntry struct {
	ID     string     `json:"id"`
	Probe  string     `json:"probe"`
	Args   string     `json:"args"`
	Target string     `json:"target"`
	Status string     `json:"status"`
	Error  string     `json:"error"`
	At     time.Time  `json:"at"`
	Took   string     `json:"took"`
	Plugin string     `json:"plugin"`
	Raws   []RawEntry `json:"raws"`
}

// RawEntry is a raw output in the appendix.
type RawEntry struct {
	Name      string `json:"name"`
	Command   string `json:"command"`
	ExitCode  int    `json:"exit_code"`
	Status    string `json:"status"`
	Bytes     int    `json:"bytes"`
	SHA256    string `json:"sha256"`
	Truncated bool   `json:"truncated"`
	File      string `json:"file"` // in the bundle; "" when the bytes are not here
	Excerpt   string `json:"excerpt"`
}

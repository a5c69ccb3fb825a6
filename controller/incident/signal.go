package incident

import "time"

// SignalKind is what sort of message a signal is.
type SignalKind string

// The kinds of signals.
const (
	Alert     SignalKind = "alert"
	Ticket    SignalKind = "ticket"
	Comment   SignalKind = "comment"
	Change    SignalKind = "change"
	Heartbeat SignalKind = "heartbeat"
	Control   SignalKind = "control"
)

// State is what a signal says about the thing it reports.
type State string

// The states of alerts. Tickets have their own (open, in_progress, ...), added
// with the ticket sources.
const (
	Firing       State = "firing"
	SourceSaysOK State = "resolved" // a message, not a measurement
	Acknowledged State = "acknowledged"
	Muted        State = "suppressed"
	StateUnknown State = "unknown"
)

// Severity is the mapped severity; the raw word is kept beside it.
type Severity string

// The severities, worst first.
const (
	Critical        Severity = "critical"
	High            Severity = "high"
	Warning         Severity = "warning"
	Info            Severity = "info"
	SeverityUnknown Severity = "unknown"
)

// Resource is a candidate for the entity that a signal is about, with the
// field that it was found in.
type Resource struct {
	Value string `json:"value"`
	From  string `json:"from"`
}

// Signal is one message from outside in normal form. Its text is hostile data.
type Signal struct {
	ID           string            `json:"id"`
	BodyID       string            `json:"body_id"`
	Source       string            `json:"source"`
	Kind         SignalKind        `json:"kind"`
	State        State             `json:"state"`
	StateRaw     string            `json:"state_raw"`
	Severity     Severity          `json:"severity"`
	SeverityRaw  string            `json:"severity_raw"`
	Title        string            `json:"title"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	Resources    []Resource        `json:"resources"`
	Identity     string            `json:"identity"`
	IdentityFrom string            `json:"identity_from"` // "fingerprint", "labels", or "source" for a body that nobody could read
	StartsAt     time.Time         `json:"starts_at,omitzero"`
	EndsAt       time.Time         `json:"ends_at,omitzero"`
	ReceivedAt   time.Time         `json:"received_at"`
	Links        []string          `json:"links"`

	Entity     string        `json:"entity"` // what it was resolved to; "" when nothing in the inventory fits
	IncidentID string        `json:"incident_id"`
	Action     CorrelateDeed `json:"action"`
	Reason     string        `json:"reason"` // why it was joined, opened, ignored
}

// CorrelateDeed is what became of a signal.
type CorrelateDeed string

// The deeds, as the API shows them.
const (
	DeedStored     CorrelateDeed = "stored"
	DeedOpened     CorrelateDeed = "opened"
	DeedJoined     CorrelateDeed = "joined"
	DeedLinked     CorrelateDeed = "linked"
	DeedDuplicate  CorrelateDeed = "duplicate"
	DeedResolved   CorrelateDeed = "resolved"
	DeedSuppressed CorrelateDeed = "suppressed"
)

package diagnostics

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Status says how a reading went. Only OK and Absent are statements about the
// server; the rest mean "cannot tell".
type Status string

// The statuses of a fact and of a raw output.
const (
	OK        Status = "ok"        // it was read
	Absent    Status = "absent"    // it was looked for, and it is not there
	Failed    Status = "failed"    // the reading went wrong
	TimedOut  Status = "timed_out" // the reading took longer than its bound
	Truncated Status = "truncated" // there was more than the bound; what is here is true, the rest unknown
	Denied    Status = "denied"    // the agent may not look there
)

// Tells reports whether a reading of the status says something about the server.
func (s Status) Tells() bool { return s == OK || s == Absent }

// Args are the arguments of a probe, by input name.
type Args map[string]string

// Raw is what one command or file read gave, after redaction and before any
// interpretation.
type Raw struct {
	Name      string        `json:"name"`    // the key under which Probe.Parse finds it
	Command   string        `json:"command"` // what was done, quoted for people
	Status    Status        `json:"status"`
	ExitCode  int           `json:"exit_code"`
	Error     string        `json:"error,omitempty"`
	Data      []byte        `json:"data,omitempty"` // left out where the bytes are stored apart
	Bytes     int           `json:"bytes"`
	SHA256    string        `json:"sha256"` // of Data, hex
	Truncated bool          `json:"truncated,omitempty"`
	At        time.Time     `json:"at"`
	Took      time.Duration `json:"took_ns"`
}

// Seal fills in the size and the digest of the data.
func (r *Raw) Seal() {
	sum := sha256.Sum256(r.Data)
	r.Bytes, r.SHA256 = len(r.Data), hex.EncodeToString(sum[:])
}

// Value is the typed reading of a fact: field names to string, bool, int64,
// float64, time.Time, []any or map[string]any, as the probe's Spec declares.
type Value map[string]any

// Fact is one typed, time-stamped reading of one probe on one target.
type Fact struct {
	ID     string        `json:"id"` // unique within an incident: "<probe>#<n>"
	Probe  string        `json:"probe"`
	Args   Args          `json:"args"`
	Target string        `json:"target"`
	Status Status        `json:"status"`
	Error  string        `json:"error,omitempty"`
	Value  Value         `json:"value,omitempty"`
	Raws   []Raw         `json:"raws"`
	At     time.Time     `json:"at"`
	Took   time.Duration `json:"took_ns"`
	Plugin string        `json:"plugin,omitempty"` // name@sha256 of the plugin that parsed it, when not built in
}

package plugins

import (
	"context"
	"time"
)

// Info says what a plugin is.
type Info struct {
	Name         string // [a-z][a-z0-9_]*; its probes are known as "<name>.<probe>"
	Version      string // of the plugin, for people
	Capabilities Capabilities
}

// Type is the type of a field that expressions read.
type Type string

// The types of fields. A List holds objects with the fields of Field.Elem, or
// strings when Elem is empty; an Object has the fields of Elem; a Map goes from
// string to string.
const (
	String    Type = "string"
	Int       Type = "int"
	Double    Type = "double"
	Bool      Type = "bool"
	Timestamp Type = "timestamp"
	List      Type = "list"
	Map       Type = "map"
	Object    Type = "object"
)

// Field declares one input or output of a probe.
type Field struct {
	Name     string // [a-z][a-z0-9_]*
	Type     Type
	Doc      string // one line, with the unit and the source of the number
	Required bool   // of an input: must be given
	Optional bool   // of an output: may be missing
	Elem     []Field
}

// Spec declares a probe: what it reads and what it yields.
type Spec struct {
	Name        string // [a-z][a-z0-9_]*, without the name of the plugin
	Title       string
	Doc         string // what it looks at, with the man page or kernel file
	Inputs      []Field
	Outputs     []Field
	CostSeconds float64 // typical wall time on a healthy host
}

// Status says how a reading went. Only OK and Absent are statements about the
// server; the rest mean "cannot tell".
type Status string

// The statuses of a reading.
const (
	OK        Status = "ok"        // it was read
	Absent    Status = "absent"    // it was looked for, and it is not there
	Failed    Status = "failed"    // the reading went wrong
	TimedOut  Status = "timed_out" // the reading took longer than its bound
	Truncated Status = "truncated" // there was more than the bound
	Denied    Status = "denied"    // the agent may not look there
)

// Args are the arguments of a probe, by input name. They come from people and
// from alerts: hostile text.
type Args map[string]string

// Raw is what one command or file read gave, before any interpretation.
type Raw struct {
	Name      string // the key under which Parse finds it
	Command   string // what was done, quoted for people
	Status    Status
	ExitCode  int
	Error     string
	Data      []byte
	Truncated bool
	At        time.Time
	Took      time.Duration
}

// Value is the typed reading: field names to string, bool, int64, float64,
// time.Time, []any or map[string]any, as the Spec declares. Narrower Go
// numbers, []string and map[string]string are accepted too.
type Value map[string]any

// Probe is a read-only reader that yields one reading. Reading and
// understanding are apart, so that the raw bytes of an old bundle can be
// understood again: Read touches the target and interprets nothing but what it
// needs to choose its next read; Parse is pure and gives the same value for the
// same raws.
//
// Duties of Read: touch the target only through h; return before ctx ends (a
// process whose probe does not is killed); report a reading that failed as a
// Raw with its status, not as an error; an error means that nothing could be
// looked at at all. Use a Recorder for it.
//
// Duties of Parse: any bytes are possible; never panic; give every output that
// is not Optional when the status is OK; say Absent only when the raws prove
// absence. Both are called concurrently.
type Probe interface {
	Spec() Spec
	Read(ctx context.Context, h Host, args Args) ([]Raw, error)
	Parse(raws []Raw, args Args) (Value, Status, error)
}

// Find returns the first raw of the name.
func Find(raws []Raw, name string) (Raw, bool) {
	for _, r := range raws {
		if r.Name == name {
			return r, true
		}
	}
	return Raw{}, false
}

// Tells reports whether a reading of the status says something about the server.
func (s Status) Tells() bool { return s == OK || s == Absent }

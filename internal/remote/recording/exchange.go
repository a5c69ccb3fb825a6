// Package recording writes down what a server was asked and what it answered,
// and plays it back: the same questions get the same answers, in the same order
// and at the same times, without the server. A question that is not in the
// recording is an error and is remembered, never "not there".
//
// A recording is a text file with one JSON object a line (an Exchange), made to
// be read and edited by people. It is recorded above a remote.Server, so that it
// holds no secrets. Names in the listing of a directory have to be UTF-8.
package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// Bounds of a recording.
const (
	MaxBytes     = 64 << 20
	MaxExchanges = 100_000
)

// Verb is what was asked.
type Verb string

// The verbs, one for each method of a remote.Runner.
const (
	Run      Verb = "run"
	ReadFile Verb = "read-file"
	Stat     Verb = "stat"
	Statfs   Verb = "statfs"
	ReadDir  Verb = "read-dir"
)

// Exchange is one question to a server with its answer.
type Exchange struct {
	Do     Verb   `json:"do"`
	After  Offset `json:"after"`            // when the answer came, since the beginning of the recording
	Argv   []Text `json:"argv,omitempty"`   // this to Stdin: of run; redacted
	As     string `json:"as,omitempty"`     // "" is the login user
	Effect string `json:"effect,omitempty"` // read or write
	// Env is redacted, too.
	Env map[string]string `json:"env,omitempty"`
	// Secrets are references: NAME=secret/name of a variable, secret/name of what was given to read.
	Secrets []string `json:"secrets,omitempty"`

	Stdin string `json:"stdin,omitempty"` // sha256:… of what it was given to read, redacted
	Path  Text   `json:"path,omitempty"`  // of all but run

	Exit      int               `json:"exit,omitempty"`
	Signal    string            `json:"signal,omitempty"`
	Stdout    Text              `json:"stdout,omitempty"`
	Stderr    Text              `json:"stderr,omitempty"`
	Data      Text              `json:"data,omitempty"` // of read-file
	Truncated bool              `json:"truncated,omitempty"`
	Stat      *remote.FileInfo  `json:"stat,omitempty"`
	Statfs    *remote.FSInfo    `json:"statfs,omitempty"`
	Entries   []remote.FileInfo `json:"entries,omitempty"` // of read-dir
	Error     *Failure          `json:"error,omitempty"`
}

// Failure is a remote.Error.
type Failure struct {
	Class remote.Class `json:"class"`
	Doing string       `json:"doing,omitempty"`
	Text  string       `json:"text,omitempty"`
	Hint  string       `json:"hint,omitempty"`
}

func failureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*remote.Error](err)
	if !ok {
		return &Failure{Class: remote.BrokenServer, Text: err.Error()}
	}
	f := &Failure{Class: e.Class, Doing: e.Doing, Hint: e.Hint}
	if e.Err != nil {
		f.Text = e.Err.Error()
	}
	return f
}

func (f *Failure) err(target string) error {
	if f == nil {
		return nil
	}
	e := &remote.Error{Class: f.Class, Target: target, Doing: f.Doing, Hint: f.Hint}
	if f.Text != "" {
		e.Err = errors.New(f.Text)
	}
	return e
}

// Offset is a time since the beginning of a recording, written as "1.25s".
type Offset time.Duration

// MarshalText implements encoding.TextMarshaler.
func (o Offset) MarshalText() ([]byte, error) { return []byte(time.Duration(o).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *Offset) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err == nil && d < 0 {
		err = fault.New(fault.Invalid, "%s lies before the beginning of the recording", d)
	}
	*o = Offset(d)
	return err
}

// Text is bytes: a string where they are UTF-8, else {"base64": "…"}.
type Text []byte

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) {
	if utf8.Valid(t) {
		return plainJSON(string(t))
	}
	return json.Marshal(map[string][]byte{"base64": t})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(data []byte) error {
	var plain string
	if err := json.Unmarshal(data, &plain); err == nil {
		*t = Text(plain)
		return nil
	}
	var coded struct {
		Base64 []byte `json:"base64"`
	}
	err := json.Unmarshal(data, &coded)
	*t = coded.Base64
	return err
}

// plainJSON leaves <, > and & as they are: people read it.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Format writes the exchanges, one a line.
func Format(list []Exchange) ([]byte, error) {
	var b bytes.Buffer
	for _, e := range list {
		line, err := plainJSON(e)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", e, err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// Parse reads what Format writes; file is named in errors. Empty lines are left
// out. Errors are of kind Invalid and name the line.
func Parse(file string, data []byte) ([]Exchange, error) {
	if len(data) > MaxBytes {
		return nil, fault.New(fault.TooLarge, "%s has %d bytes, more than %d", file, len(data), MaxBytes)
	}
	var list []Exchange
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(list) == MaxExchanges {
			return nil, fault.New(fault.TooLarge, "%s has more than %d exchanges", file, MaxExchanges)
		}
		e, err := parseLine(line)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "%s:%d", file, number)
		}
		list = append(list, e)
	}
	return list, nil
}

func parseLine(line []byte) (Exchange, error) {
	var e Exchange
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil { //nolint:musttag // remote.FSInfo has the names of its fields, everywhere
		return e, err
	}
	if dec.More() {
		return e, fault.New(fault.Invalid, "a line holds one exchange")
	}
	return e, e.validate()
}

func (e Exchange) validate() error {
	switch e.Do {
	case Run:
		if len(e.Argv) == 0 {
			return fault.New(fault.Invalid, "a run needs an argv")
		}
		if e.Effect != string(remote.Read) && e.Effect != string(remote.Write) {
			return fault.New(fault.Invalid, "effect %q: read or write", e.Effect)
		}
		return nil
	case Stat, Statfs:
		answered := e.Error != nil || e.Do == Stat && e.Stat != nil || e.Do == Statfs && e.Statfs != nil
		if !answered {
			return fault.New(fault.Invalid, "%s without an answer: it needs %q or \"error\"", e.Do, e.Do)
		}
	case ReadFile, ReadDir:
	default:
		return fault.New(fault.Invalid, "do %q: run, read-file, stat, statfs or read-dir", e.Do)
	}
	if len(e.Path) == 0 {
		return fault.New(fault.Invalid, "%s needs a path", e.Do)
	}
	return nil
}

// writes reports whether the exchange may have changed the server.
func (e Exchange) writes() bool { return e.Do == Run && e.Effect != string(remote.Read) }

// key is equal for equal questions. No argument can hold a NUL byte.
func (e Exchange) key() string {
	words := []string{string(e.Do), e.As, e.Effect, e.Stdin, string(e.Path)}
	for _, name := range slices.Sorted(maps.Keys(e.Env)) {
		words = append(words, name+"="+e.Env[name])
	}
	words = append(append(words, e.Secrets...), "")
	return strings.Join(append(words, e.argv()...), "\x00")
}

func (e Exchange) argv() []string {
	out := make([]string, len(e.Argv))
	for i, arg := range e.Argv {
		out[i] = string(arg)
	}
	return out
}

// String is the question, exactly, on one line.
func (e Exchange) String() string {
	if e.Do != Run {
		return string(e.Do) + " " + oneLine([]string{string(e.Path)})
	}
	words := []string{}
	for _, name := range slices.Sorted(maps.Keys(e.Env)) {
		words = append(words, name+"="+oneLine([]string{e.Env[name]}))
	}
	words = append(words, e.Secrets...)
	text := e.Effect + " by running: " + strings.Join(append(words, oneLine(e.argv())), " ")
	if e.As != "" {
		text += " (as " + e.As + ")"
	}
	if e.Stdin != "" {
		text += " (standard input " + e.Stdin + ")"
	}
	return text
}

// oneLine quotes for people; scripts among the arguments keep to the line.
func oneLine(argv []string) string {
	text := fmt.Sprintf("%q", remote.Quote(argv))
	return strings.ReplaceAll(text[1:len(text)-1], `\"`, `"`)
}

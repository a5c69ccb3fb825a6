package runbooks

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/remote/rehearsal"
)

// RehearsalStatus is how a step went in a rehearsal.
type RehearsalStatus string

// The statuses of a rehearsed step.
const (
	RehearsalPassed     RehearsalStatus = "passed"        // it was carried out, and nothing refuted it
	RehearsalFailed     RehearsalStatus = "failed"        // it did not end well, or was refuted
	RehearsalNotDone    RehearsalStatus = "not_rehearsed" // how it would go is not known
	RehearsalSkipped    RehearsalStatus = "skipped"       // it does not apply
	RehearsalNotReached RehearsalStatus = "not_reached"   // the rehearsal ended before it
)

// Rehearsal is how the steps of a plan went where nothing is kept of them.
type Rehearsal struct {
	Steps  []RehearsedStep `json:"steps"`
	Absent []string        `json:"absent,omitempty"` // file systems that the rehearsal did not have
}

// RehearsedStep is one step of a rehearsal.
type RehearsedStep struct {
	ID         string             `json:"id"`
	Action     string             `json:"action"`
	Status     RehearsalStatus    `json:"status"`
	Why        string             `json:"why,omitempty"` // of every status but passed
	ExitCode   int                `json:"exit_code"`
	Took       time.Duration      `json:"took_ns"`
	Changed    string             `json:"changed,omitempty"` // what the action says it changed
	Measured   []string           `json:"measured"`          // what verification said of it, in words
	Transcript []Exchange         `json:"transcript"`
	Files      []rehearsal.Change `json:"files"`    // what became of files, as the overlay saw it
	Warnings   []string           `json:"warnings"` // what it touched that its plan does not name, and what is not told
}

// Failed reports whether a step failed.
func (r Rehearsal) Failed() bool {
	for _, s := range r.Steps {
		if s.Status == RehearsalFailed {
			return true
		}
	}
	return false
}

// Covers reports whether the touch names the file.
func (t Touch) Covers(file string) bool {
	if t.Kind != TouchFile {
		return false
	}
	ok, err := path.Match(t.Name, file)
	return t.Name == file || err == nil && ok
}

// Bounds of what is shown.
const (
	maxRehearsedLines = 40 // of the output of one command
	maxAbsentShown    = 8
)

// Render returns the rehearsal as text, of which Plan.Render says what is true.
func (r Rehearsal) Render() string {
	var b strings.Builder
	b.WriteString("rehearsal: nothing of it was kept\n")
	for _, point := range r.Absent[:min(len(r.Absent), maxAbsentShown)] {
		fmt.Fprintf(&b, "  without   %s\n", oneLine(point))
	}
	if more := len(r.Absent) - maxAbsentShown; more > 0 {
		fmt.Fprintf(&b, "  without   %d more file systems\n", more)
	}
	for i, s := range r.Steps {
		s.render(&b, i+1)
	}
	return b.String()
}

func (s RehearsedStep) render(b *strings.Builder, n int) {
	fmt.Fprintf(b, "\n%d. %s (%s): %s", n, oneLine(s.ID), oneLine(s.Action), strings.ReplaceAll(string(s.Status), "_", " "))
	if s.Why != "" {
		fmt.Fprintf(b, ", %s", oneLine(s.Why))
	}
	b.WriteByte('\n')
	if len(s.Transcript) > 0 {
		fmt.Fprintf(b, "   %-9s exit status %d after %s\n", "ended", s.ExitCode, s.Took.Round(time.Millisecond))
	}
	if s.Changed != "" {
		fmt.Fprintf(b, "   %-9s %s\n", "did", oneLine(s.Changed))
	}
	for _, m := range s.Measured {
		fmt.Fprintf(b, "   %-9s %s\n", "measured", oneLine(m))
	}
	for _, w := range s.Warnings {
		fmt.Fprintf(b, "   %-9s %s\n", "WARNING", oneLine(w))
	}
	for _, x := range s.Transcript {
		if s.Changed == "" { // else the action says in its own words what its commands have printed
			marginal(b, ">", x.Stdout+x.Stderr, maxRehearsedLines)
		}
	}
	for _, f := range s.Files {
		fmt.Fprintf(b, "   %-9s %s%s\n", string(f.Kind), oneLine(f.Path), fileWords(f))
		marginal(b, "|", f.Diff, len(f.Diff))
	}
}

func fileWords(f rehearsal.Change) string {
	switch f.Kind {
	case rehearsal.Created:
		return ": " + oneLine(f.Is)
	case rehearsal.Changed, rehearsal.Altered:
		return ": " + oneLine(f.Was) + " -> " + oneLine(f.Is)
	case rehearsal.Removed:
		return ": " + oneLine(f.Was)
	}
	return ""
}

// marginal writes lines behind a margin.
func marginal(b *strings.Builder, margin, text string, most int) {
	n := 0
	for line := range strings.Lines(text) {
		if n++; n <= most {
			fmt.Fprintf(b, "   %s %s\n", margin, oneLine(strings.TrimSuffix(line, "\n")))
		}
	}
	if n > most {
		fmt.Fprintf(b, "   %s … and %d more lines\n", margin, n-most)
	}
}

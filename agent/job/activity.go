package job

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/secondline-ops/secondline/runbooks"
)

// Bounds of an activity. It is for one look of a person, and is sent again and
// again.
const (
	maxOutputLines   = 12
	maxPendingProbes = 8
	maxLineRunes     = 200
	maxTailBytes     = 16 << 10 // of an output, looked at for its last lines
)

// Activity is what an agent does for a job at one moment. It is whole each
// time, so that losing one loses nothing. It is for people who watch: nothing
// is decided on it, and nobody stores it.
type Activity struct {
	Step    string              `json:"step,omitempty"`    // "" between steps, and when the job has none
	Status  runbooks.StepStatus `json:"status,omitempty"`  // of the step
	Since   time.Time           `json:"since,omitzero"`    // the step has had the status
	Timeout time.Duration       `json:"timeout,omitempty"` // how long it may have it at most; 0 is not known
	Command string              `json:"command,omitempty"` // that runs now; "" when none does
	Output  []string            `json:"output,omitempty"`  // last lines of the step's last command that wrote something, as far as it has come
	Cut     bool                `json:"cut,omitempty"`     // there were lines before Output
	Probes  []PendingProbe      `json:"probes,omitempty"`  // the oldest first
}

// PendingProbe is a probe that was asked and has not answered yet.
type PendingProbe struct {
	Probe  string    `json:"probe"`
	Target string    `json:"target"`
	Since  time.Time `json:"since"`
}

// Bounded returns the activity in one line for each text, visible as it is, and
// of a size that can be kept for many jobs. Both ends ask for it: what comes
// from an agent is no more to be trusted than what comes from its servers.
func (a Activity) Bounded() Activity {
	a.Step, a.Command, a.Status = visible(a.Step), visible(a.Command), runbooks.StepStatus(visible(string(a.Status)))
	a.Timeout = max(0, a.Timeout)
	if extra := len(a.Output) - maxOutputLines; extra > 0 {
		a.Output, a.Cut = a.Output[extra:], true
	}
	a.Output = slices.Clone(a.Output)
	for i := range a.Output {
		a.Output[i] = visible(a.Output[i])
	}
	a.Probes = slices.Clone(a.Probes[:min(len(a.Probes), maxPendingProbes)])
	for i, p := range a.Probes {
		a.Probes[i].Probe, a.Probes[i].Target = visible(p.Probe), visible(p.Target)
	}
	return a
}

// LastLines returns the end of what a command wrote. Secrets must have been
// taken out before: a cut can hide from every detector what it was. Of a line
// that was written over (a bar that grows), the last state is returned.
func LastLines(output []byte) (lines []string, cut bool) {
	output = bytes.TrimRight(output, " \r\n")
	if extra := len(output) - maxTailBytes; extra > 0 {
		output, cut = output[extra:], true
	}
	if len(output) == 0 {
		return nil, false
	}
	lines = strings.Split(string(output), "\n")
	if extra := len(lines) - maxOutputLines; extra > 0 {
		lines, cut = lines[extra:], true
	}
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		lines[i] = visible(line[strings.LastIndexByte(line, '\r')+1:])
	}
	return lines, cut
}

// visible cuts the text to one short line and writes out what a terminal or a
// page would obey or hide: control characters, those that turn the direction of
// text or have no width (Unicode TR 36), and bytes that are no text.
func visible(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > maxLineRunes {
			b.WriteString("…")
			break
		}
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r == unicode.ReplacementChar || unicode.IsGraphic(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToGraphic(r), "'"))
		}
	}
	return b.String()
}

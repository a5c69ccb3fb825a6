package runbooks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Render returns the plan as text for terminals, tickets and pages. Values in
// it come from hosts and signals, so nothing in it can move a cursor, change a
// colour, turn the direction of the writing or pretend to be a line of its
// own: control and format characters are shown as escapes, and only diffs
// have more than one line, each behind a margin.
func (p Plan) Render() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", oneLine(p.Runbook), oneLine(p.Title))
	fmt.Fprintf(&b, "  target    %s\n", oneLine(p.Target))
	fmt.Fprintf(&b, "  effect    %s, autonomy at most %s\n", oneLine(string(p.Effect)), oneLine(string(p.Autonomy)))
	fmt.Fprintf(&b, "  at worst  %s\n", p.WorstCase.Round(time.Second))
	for _, name := range slices.Sorted(maps.Keys(p.Inputs)) {
		fmt.Fprintf(&b, "  input     %s = %s\n", oneLine(name), oneLine(p.Inputs[name]))
	}
	if len(p.Locks) > 0 {
		fmt.Fprintf(&b, "  locks     %s\n", oneLine(strings.Join(p.Locks, ", ")))
	}
	for _, r := range p.Rates {
		fmt.Fprintf(&b, "  rate      %s: at most %s\n", oneLine(r.Name), Rate{r.Most, r.Within})
	}
	for _, c := range p.Preconditions {
		renderPrecondition(&b, c)
	}
	for i, s := range p.Steps {
		renderStep(&b, i+1, s)
	}
	if p.Refused != "" {
		fmt.Fprintf(&b, "\nREFUSED: %s\n", oneLine(p.Refused))
	}
	fmt.Fprintf(&b, "\nplan %s\n", oneLine(p.Digest))
	return b.String()
}

func renderPrecondition(b *strings.Builder, c Precondition) {
	fmt.Fprintf(b, "  require   %s: %s\n", oneLine(c.Answer()), oneLine(c.Sentence()))
}

func renderStep(b *strings.Builder, n int, s PlannedStep) {
	fmt.Fprintf(b, "\n%d. %s (%s, %s)", n, oneLine(s.ID), oneLine(s.Action), oneLine(string(s.Effect)))
	switch s.Phase {
	case PhaseMain:
	case PhaseOnFailure:
		b.WriteString(", only when the run fails")
	case PhaseAlways:
		b.WriteString(", in any case")
	}
	switch {
	case s.Skipped != "":
		fmt.Fprintf(b, ": skipped, %s\n", oneLine(s.Skipped))
		return
	case s.Noop:
		b.WriteString(": nothing to change\n")
	default:
		b.WriteByte('\n')
	}
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "   %-9s %s\n", name, oneLine(value))
		}
	}
	row("for", s.Each)
	row("when", s.When)
	row("run", quoteArgv(s.Argv))
	row("as", s.As)
	row("touches", touched(s.Touches))
	row("preserve", strings.Join(s.Preserve, ", "))
	row("verify", s.Verify)
	row("undo", s.Undo)
	if s.WorstCase > 0 {
		row("time-out", s.Timeout.String())
	}
	if s.Deadman > 0 {
		row("deadman", "taken back when the agent does not hear from its controller within "+s.Deadman.String())
	}
	for line := range strings.Lines(s.Diff) {
		fmt.Fprintf(b, "   | %s\n", oneLine(strings.TrimSuffix(line, "\n")))
	}
}

// maxTouchesShown keeps a plan readable: a step that names more of them shows
// them in its diff.
const maxTouchesShown = 8

func touched(all []Touch) string {
	words := []string{}
	for _, t := range all[:min(len(all), maxTouchesShown)] {
		words = append(words, t.String())
	}
	if more := len(all) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

// quoteArgv shows argv so that the borders of its elements are plain. It is
// for people; nothing is ever run from it.
func quoteArgv(argv []string) string {
	quoted := make([]string, 0, len(argv))
	for _, a := range argv {
		if a == "" || strings.ContainsFunc(a, needsQuotes) {
			a = strconv.Quote(a)
		}
		quoted = append(quoted, a)
	}
	return strings.Join(quoted, " ")
}

func needsQuotes(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-./:=@%+,^~", r)
}

// oneLine shows s in one line of printable characters. Tabs become spaces.
func oneLine(s string) string {
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

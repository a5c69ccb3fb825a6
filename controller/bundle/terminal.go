package bundle

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// minWidth is the narrowest terminal that is written for.
const minWidth = 40

// Terminal renders a short summary in lines of at most width columns, without
// escapes: the answer, the evidence for the cause, and what could not be seen.
func (r Report) Terminal(width int) string {
	width = max(width, minWidth)
	var b strings.Builder
	say := func(indent, text string) {
		for i, l := range wrap(strings.Join(strings.Fields(clean(text)), " "), width-len(indent)) {
			if i == 1 {
				indent = strings.Repeat(" ", len(indent))
			}
			b.WriteString(indent + l + "\n")
		}
	}
	list := func(title string, all []Statement) {
		if len(all) == 0 {
			return
		}
		const most = 5
		b.WriteString("\n" + title + "\n")
		for i, s := range all {
			if i == most {
				say("  ", fmt.Sprintf("and %d more in the report", len(all)-most))
				return
			}
			text := s.Text
			if len(s.Cites) > 0 {
				text += " [" + strings.Join(s.Cites, ", ") + "]"
			}
			say("  - ", text)
		}
	}
	i := r.Incident
	say("", fmt.Sprintf("#%d %s (%s, %s)", i.Number, i.Title, i.Priority, i.Status))
	for _, s := range r.Answer {
		say("", s.Text)
	}
	if r.Cause != nil {
		list("Why", r.Cause.For)
	}
	list("Not done", r.NotDone)
	list("Could not be looked at", r.NotLookedAt)
	if len(r.Next) > 0 {
		b.WriteString("\nNext\n")
		say("  ", r.Next[0].Do)
	}
	return b.String()
}

// wrap breaks text between words; a word longer than a line is cut.
func wrap(text string, width int) []string {
	var out []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		for utf8.RuneCountInString(word) > width {
			if line != "" {
				out, line = append(out, line), ""
			}
			runes := []rune(word)
			out, word = append(out, string(runes[:width])), string(runes[width:])
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			out, line = append(out, line), word
		}
	}
	return append(out, line)
}

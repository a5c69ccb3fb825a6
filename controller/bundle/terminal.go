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
		for i, l := range wrap(strings.Join(strings.Fields(clean(text)), " "), width-utf8.RuneCountInString(indent)) {
			if i == 1 {
				indent = strings.Repeat(" ", utf8.RuneCountInString(indent))
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
			say("  - ", citedPlain(s))
		}
	}
	i := r.Incident
	say("", fmt.Sprintf("#%d %s (%s, %s)", i.Number, i.Title, i.Priority, i.Status))
	for _, s := range r.Answer {
		say("", s.Text)
	}
	b.WriteString("\nWhy\n")
	for n, l := range r.Chain {
		const most = 7
		if n == most-1 && len(r.Chain) > most {
			say("  ← ", fmt.Sprintf("and %d more in the report", len(r.Chain)-most))
			l = r.Chain[len(r.Chain)-1]
		}
		say(arrow(n), citedPlain(l.Statement))
		if n == most-1 {
			break
		}
	}
	list("What hangs on it", r.Impact)
	list("Done", doneIn(r.Actions))
	list("Not done", r.NotDone)
	list("Could not be looked at", r.NotLookedAt)
	if len(r.Next) > 0 {
		b.WriteString("\nNext\n")
	}
	for n, s := range r.Next {
		const most = 3
		if n == most {
			say("  ", fmt.Sprintf("and %d more in the report", len(r.Next)-most))
			break
		}
		say(fmt.Sprintf("  %d. ", n+1), s.Do)
		if s.Command != "" {
			say("     $ ", s.Command)
		}
		say("     ", "Risk: "+s.Risk+". Expected: "+s.Expect+". Check: "+s.Check+". Undo: "+s.Undo+".")
	}
	list("Never", r.Never)
	return b.String()
}

func arrow(n int) string {
	if n == 0 {
		return "    "
	}
	return "  ← "
}

func citedPlain(s Statement) string {
	if len(s.Cites) == 0 {
		return s.Text
	}
	return s.Text + " [" + strings.Join(s.Cites, ", ") + "]"
}

// doneIn is a line for each action.
func doneIn(actions []Action) []Statement {
	out := []Statement{}
	for _, a := range actions {
		text := fmt.Sprintf("%s on %s: %s", a.Runbook, a.Target, a.Status)
		if a.Why != "" {
			text += ", " + a.Why
		}
		out = append(out, cite(text, a.After.Cites...))
	}
	return out
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

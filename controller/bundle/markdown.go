package bundle

import (
	"fmt"
	"strings"
)

const momentForm = "2006-01-02 15:04:05"

// Markdown renders the report as report.md. Text from outside is escaped, so
// that it cannot become a link, a heading or markup.
func (r Report) Markdown() []byte {
	var m markdown
	i := r.Incident
	m.printf("# #%d %s\n\n%s · %s · %s · %s · %s\n", i.Number, esc(i.Title), i.Priority, i.Severity, i.Status, esc(i.Entity), esc(i.ID))
	for _, s := range r.Answer {
		m.printf("\n> %s\n", cited(s))
	}
	m.chain(r.Chain)
	m.list("What hangs on it", "", r.Impact)
	m.printf("\n## Most likely cause\n")
	if r.Cause == nil {
		m.printf("\nUnknown. No hypothesis is at least likely.\n")
	} else {
		m.hypothesis(*r.Cause)
	}
	if len(r.Others) > 0 {
		m.printf("\n## Other hypotheses\n")
	}
	for _, h := range r.Others {
		m.hypothesis(h)
	}
	m.list("What could not be looked at", "Every reading that was asked for gave an answer.", r.NotLookedAt)
	m.actions(r.Actions)
	m.list("What was deliberately not done", "Nothing was held back.", r.NotDone)
	m.next(r.Next)
	m.list("Never, it would make it worse", "", r.Never)
	m.printf("\n## Timeline (UTC)\n\n")
	for _, t := range r.Changes {
		m.printf("- %s, change on %s: %s\n", t.At.UTC().Format(momentForm), esc(t.Actor), cited(Statement{t.Text, t.Cites}))
	}
	for _, t := range r.Timeline {
		m.printf("- %s, event %d, %s, %s: %s\n", t.At.UTC().Format(momentForm), t.Seq, esc(t.Actor), t.Kind, esc(t.Text))
	}
	m.list("Why it was not noticed sooner", "", r.Gap)
	m.list("To prevent it: draft of action items", "", r.Prevent)
	m.printf("\n## Five whys\n\n")
	for n, why := range r.Whys {
		m.printf("%d. %s %s\n", n+1, why.Question, orElse(cited(why.Answer), "____"))
	}
	m.evidence(r.Evidence)
	m.printf("\n## Redaction and limits\n\nSecrets replaced while bundling: %s.\n", orNone(kinds(r.Redactions)))
	for _, left := range r.LeftOut {
		m.printf("- left out: %s\n", esc(left))
	}
	m.printf("\nSecondline %s, %s. `secondline bundle verify FILE` makes every claim above again from the raw bytes.\n", esc(r.Version), clock(r.MadeAt))
	return []byte(m.String())
}

type markdown struct{ strings.Builder }

func (m *markdown) printf(format string, args ...any) { fmt.Fprintf(m, format, args...) }

func (m *markdown) list(title, none string, list []Statement) {
	if len(list) == 0 && none == "" {
		return
	}
	m.printf("\n## %s\n\n", title)
	if len(list) == 0 {
		m.printf("%s\n", none)
	}
	m.items(list)
}

func (m *markdown) chain(links []Link) {
	m.printf("\n## Why: from the symptom to the cause\n\n")
	for i, l := range links {
		arrow := ""
		if i > 0 {
			arrow = "← because: "
		}
		m.printf("%d. %s%s\n", i+1, arrow, cited(l.Statement))
	}
}

func (m *markdown) next(steps []NextStep) {
	if len(steps) > 0 {
		m.printf("\n## Next steps\n\n")
	}
	for n, s := range steps {
		m.printf("%d. %s\n", n+1, cited(Statement{s.Do, s.Cites}))
		if s.Command != "" {
			m.printf("   Command: %s\n", esc(s.Command))
		}
		m.printf("   Why: %s. Risk: %s. Expected: %s. Check: %s. Undo: %s.\n", esc(s.Why), esc(s.Risk), esc(s.Expect), esc(s.Check), esc(s.Undo))
	}
}

func (m *markdown) items(list []Statement) {
	for _, s := range list {
		m.printf("- %s\n", cited(s))
	}
}

func (m *markdown) hypothesis(h Hypothesis) {
	m.printf("\n### %s%s on %s: %s, %.0f %%\n\n%s, %s\n\n", esc(h.Title), esc(objectText(h.Object)), esc(h.Entity), h.Band, 100*h.Probability, esc(h.Cause), h.Digest)
	for _, part := range []struct {
		title string
		list  []Statement
	}{{"For it:", h.For}, {"Against it:", h.Against}, {"Could not be told:", merged(h.CannotTell)}} {
		if len(part.list) > 0 {
			m.printf("%s\n\n", part.title)
			m.items(part.list)
			m.printf("\n")
		}
	}
}

func (m *markdown) actions(list []Action) {
	m.printf("\n## What was done\n\n")
	if len(list) == 0 {
		m.printf("Nothing was changed.\n")
	}
	for _, a := range list {
		m.printf("### %s on %s: %s\n\n%s. Plan %s, from %s to %s.\n", esc(a.Runbook), esc(a.Target), a.Status, esc(a.Why), esc(a.PlanDigest), clock(a.StartedAt), clock(a.EndedAt))
		for _, d := range a.Decisions {
			m.printf("- %s\n", esc(d))
		}
		if a.Before.Text != "" {
			m.printf("- before: %s\n", cited(a.Before))
		}
		if a.After.Text != "" {
			m.printf("- after: %s\n", cited(a.After))
		}
		for _, s := range a.Steps {
			m.printf("- step %s, %s (%s): %s; verified by: %s", esc(s.ID), s.Action, s.Effect, s.Status, esc(s.Verify))
			for _, read := range s.Measured {
				m.printf("; %s", esc(read))
			}
			undone := ""
			if s.Undone {
				undone = " (undone)"
			}
			m.printf("; undo: %s%s %s\n", esc(s.Undo), undone, esc(s.Error))
			for _, c := range s.Commands {
				m.printf("  - ran %s, exit %d %s\n", esc(c.Command), c.ExitCode, esc(c.Error))
			}
		}
		m.printf("\n")
	}
}

func (m *markdown) evidence(list []FactEntry) {
	m.printf("\n## Evidence\n")
	for _, f := range list {
		m.printf("\n### %s: %s\n\n%s %s on %s, %s, took %s %s\n", esc(f.ID), f.Status, esc(f.Probe), esc(f.Args), esc(f.Target), clock(f.At), f.Took, esc(f.Error))
		for _, raw := range f.Raws {
			m.printf("\n- %s: %s, exit %d, %d bytes, sha256 %s, %s\n", esc(raw.Command), raw.Status, raw.ExitCode, raw.Bytes, raw.SHA256, orNone(raw.File))
			if raw.Excerpt != "" {
				// Indented code has no end mark that the text could hold.
				m.printf("\n      %s\n", strings.ReplaceAll(clean(raw.Excerpt), "\n", "\n      "))
			}
		}
	}
}

func cited(s Statement) string {
	if len(s.Cites) == 0 {
		return esc(s.Text)
	}
	return esc(s.Text) + " [" + esc(strings.Join(s.Cites, ", ")) + "]"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// esc makes one line of text that Markdown shows as it is.
func esc(s string) string {
	s = strings.Join(strings.Fields(clean(s)), " ")
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '<':
			b.WriteString("&lt;")
			continue
		case r == '>':
			b.WriteString("&gt;")
			continue
		case strings.ContainsRune("\\`*_[]#|!&~", r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return strings.ReplaceAll(b.String(), "://", ":\\//")
}

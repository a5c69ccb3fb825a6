// Package escalation writes what people are told about an incident. It is pure:
// it decides what a message says, neither whether nor over which channel it
// goes out. Every channel that is configured gets every message; policies and
// rotations are not part of it.
package escalation

import (
	"fmt"
	"net/url"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
)

// Kind is what a message is about.
type Kind = notify.Kind

// The kinds of messages.
const (
	ApprovalWanted = notify.ApprovalWanted
	Resolved       = notify.Resolved
	Escalated      = notify.Escalated
	Storm          = notify.Storm
)

// How much of hostile or long text a message quotes.
const (
	maxLineRunes = 300
	maxSteps     = 12
	maxEvidence  = 4
	maxTried     = 8
	maxGaps      = 5
)

// Compose writes the message of the kind about the incident. The id and the
// attachment are the caller's to fill in. baseURL may be "", then there is no link.
func Compose(in *incident.Incident, kind Kind, baseURL string) notify.Message {
	m := notify.Message{
		Kind: kind,
		Incident: notify.Incident{
			ID: in.ID, Number: in.Number, Title: in.Title, Status: string(in.Status), Severity: string(in.Severity),
			Priority: in.Priority, Entity: in.Entity, OpenedAt: in.OpenedAt.UTC(),
		},
	}
	if baseURL != "" {
		m.Link = strings.TrimRight(baseURL, "/") + "/incidents/" + url.PathEscape(fmt.Sprint(in.Number))
	}
	where := ""
	if in.Entity != "" {
		where = " on " + line(in.Entity)
	}
	title := fmt.Sprintf("#%d %s%s", in.Number, line(in.Title), where)
	var w writer
	switch kind {
	case Escalated:
		m.Subject = fmt.Sprintf("[%s] Needs you: %s", in.Priority, title)
		w.escalated(in)
	case ApprovalWanted:
		m.Subject = fmt.Sprintf("[%s] Your yes is wanted: %s", in.Priority, title)
		w.approvalWanted(in)
	case Resolved:
		m.Subject = fmt.Sprintf("[%s] Fixed: %s", in.Priority, title)
		if run := in.AskedRun(); run != nil {
			m.Subject = fmt.Sprintf("[%s] Run %s: %s", in.Priority, ending(run), title)
		} else if !proven(in) {
			m.Subject = fmt.Sprintf("[%s] Closed, not verified: %s", in.Priority, title)
		}
		w.resolved(in)
	case Storm: // that is about many: ComposeStorm
	}
	secrets := redact.New() // labels and what people wrote have met no Runner
	m.Incident.Title = string(secrets.Redact([]byte(m.Incident.Title)))
	m.Subject = string(secrets.Redact([]byte(m.Subject)))
	m.Text = string(secrets.Redact([]byte(strings.TrimRight(w.String(), "\n"))))
	return m
}

// ending is how the run ended that an incident is there for.
func ending(run *incident.Run) string {
	if run.DryRun && !run.Missed() {
		return "planned"
	}
	return string(run.Status)
}

// proven reports whether "fixed" may be said.
func proven(in *incident.Incident) bool {
	return !in.Unverified && in.Measured != nil && in.Measured.Gone == expr.True
}

// writer puts a message together line by line; each line is cleaned.
type writer struct{ strings.Builder }

func (w *writer) say(format string, args ...any) {
	w.WriteString(line(fmt.Sprintf(format, args...)) + "\n")
}

func (w *writer) item(format string, args ...any) {
	w.WriteString("  - " + line(fmt.Sprintf(format, args...)) + "\n")
}

func (w *writer) head(title string) { w.WriteString("\n" + title + "\n") }

func (w *writer) escalated(in *incident.Incident) {
	reason := "a person is needed"
	if in.Escalation != nil && in.Escalation.Reason != "" {
		reason = in.Escalation.Reason
	}
	w.say("%s, since %s.", line(in.Title), clock(in.OnsetAt))
	w.say("Why you: %s.", strings.TrimRight(reason, "."))
	w.cause(in.Diagnosis)
	w.tried(in)
	if in.Measured != nil {
		w.head("Last measured")
		w.item("%s: %s", clock(in.Measured.At), measured(in.Measured))
	}
	if in.Escalation != nil && in.Escalation.BundleErr != "" {
		w.head("The bundle could not be written")
		w.item("%s", in.Escalation.BundleErr)
	}
}

func (w *writer) approvalWanted(in *incident.Incident) {
	run := waiting(in)
	w.say("%s, since %s.", line(in.Title), clock(in.OnsetAt))
	w.cause(in.Diagnosis)
	if run == nil || run.Plan == nil {
		w.head("No plan waits any more")
		return
	}
	p := run.Plan
	w.head("The plan")
	w.say("%s (%s) on %s, at most %s.", p.Title, p.Runbook, p.Target, p.WorstCase.Round(time.Second))
	for i, s := range p.Steps {
		if i == maxSteps {
			w.item("and %d more steps", len(p.Steps)-maxSteps)
			break
		}
		switch {
		case s.Skipped != "":
			w.item("%s: skipped, %s", s.ID, s.Skipped)
		case s.Noop:
			w.item("%s: nothing to do", s.ID)
		default:
			w.item("%s (%s): %s; undo: %s", s.ID, s.Effect, does(s), s.Undo)
		}
	}
	w.head("Nothing is changed before somebody says yes.")
	w.say("If nobody answers in time, the incident goes to a person. Digest of the plan: %s", p.Digest)
}

func does(s runbooks.PlannedStep) string {
	if len(s.Argv) > 0 {
		return strings.Join(s.Argv, " ")
	}
	if s.Diff != "" {
		return s.Action + " " + firstLine(s.Diff)
	}
	return s.Action
}

func firstLine(s string) string {
	first, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		first += " …"
	}
	return first
}

func (w *writer) resolved(in *incident.Incident) {
	took := ""
	if !in.ResolvedAt.IsZero() && in.ResolvedAt.After(in.OnsetAt) {
		took = " after " + in.ResolvedAt.Sub(in.OnsetAt).Round(time.Second).String()
	}
	if run := in.AskedRun(); run != nil {
		w.say("%s: %s at %s%s.", line(in.Title), ending(run), clock(in.ResolvedAt), took)
	} else if !proven(in) {
		w.say("%s: closed at %s%s, but it was not measured that it is gone.", line(in.Title), clock(in.ResolvedAt), took)
	} else {
		w.say("%s: gone at %s%s.", line(in.Title), clock(in.ResolvedAt), took)
	}
	if in.Resolution != "" {
		w.say("Why: %s.", strings.TrimRight(in.Resolution, "."))
	}
	if in.Measured != nil {
		w.say("Measured %s: %s", clock(in.Measured.At), measured(in.Measured))
	}
	w.cause(in.Diagnosis)
	w.tried(in)
}

func (w *writer) cause(d *diagnostics.Diagnosis) {
	if d == nil {
		w.head("Cause: unknown")
		w.item("the host has not been diagnosed")
		return
	}
	if d.Unknown || len(d.Hypotheses) == 0 {
		w.head("Cause: unknown")
		w.item("%s", d.Why)
	} else {
		h := d.Hypotheses[0]
		w.head(fmt.Sprintf("Cause: %s (%s)", line(h.Title+object(h.Object)), h.Band))
		for i, e := range h.For {
			if i == maxEvidence {
				break
			}
			w.item("%s [%s]", e.Text, strings.Join(e.Facts, ", "))
		}
	}
	if len(d.NotLookedAt) > 0 {
		w.head("Could not be looked at")
		for i, gap := range d.NotLookedAt {
			if i == maxGaps {
				w.item("and %d more", len(d.NotLookedAt)-maxGaps)
				break
			}
			w.item("%s", gap)
		}
	}
}

func (w *writer) tried(in *incident.Incident) {
	var done []string
	for _, run := range in.Runs {
		if run.DryRun || run.Result == nil {
			continue
		}
		text := fmt.Sprintf("%s on %s: %s", run.Runbook, run.Target, run.Status)
		if run.Result.Why != "" {
			text += ", " + run.Result.Why
		}
		done = append(done, text)
	}
	for _, t := range in.Tried {
		cause, entity, _ := incident.SplitKey(t.Key)
		done = append(done, fmt.Sprintf("%s against %s on %s: %s, %s", t.Runbook, cause, entity, t.Outcome, t.Why))
	}
	w.head("Done so far")
	if len(done) == 0 {
		w.item("nothing was changed")
	}
	for i, text := range done {
		if i == maxTried {
			w.item("and %d more", len(done)-maxTried)
			break
		}
		w.item("%s", text)
	}
}

func waiting(in *incident.Incident) *incident.Run {
	for i := range in.Runs {
		if in.Runs[i].Status == runbooks.RunWaiting && in.Runs[i].MissingApprovals() > 0 {
			return &in.Runs[i]
		}
	}
	return nil
}

func measured(m *incident.Measured) string {
	switch m.Gone {
	case expr.True:
		return "the symptom is gone; " + m.Text
	case expr.False:
		return "the symptom is still there; " + m.Text
	case expr.CannotTell:
	}
	return "whether the symptom is gone could not be told; " + m.Text
}

func object(o map[string]string) string {
	if len(o) == 0 {
		return ""
	}
	parts := make([]string, 0, len(o))
	for k, v := range o {
		parts = append(parts, k+" "+v)
	}
	sort.Strings(parts)
	return ", " + strings.Join(parts, ", ")
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// line makes one readable line of text that anybody may have written.
func line(s string) string {
	out := []rune(strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	}), " "))
	if len(out) > maxLineRunes {
		out = append(out[:maxLineRunes-1], '…')
	}
	return string(out)
}

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/runbooks"
)

// How much a page shows; -o json has everything.
const (
	maxShownHypotheses = 3
	maxShownGaps       = 5
	maxShownSymptoms   = 8
)

// incidentPage is an incident on a terminal, answer first: whoever reads it was
// woken up.
type incidentPage struct {
	api.Incident
	plan  api.PlanView // of the run that waits, if one does
	now   time.Time
	paint paint
}

// waiting is the run that waits for a yes or no.
func (p incidentPage) waiting() *api.Run {
	for i := range p.Runs {
		if p.Runs[i].Missing > 0 {
			return &p.Runs[i]
		}
	}
	return nil
}

func (p incidentPage) show(w io.Writer) {
	fmt.Fprintln(w, p.paint.as(bold, oneLine(fmt.Sprintf("incident %d: %s", p.Number, p.Title))))
	fmt.Fprintf(w, "%s  %s\n", p.paint.as(statusColour(p.Summary), oneLine(strings.ReplaceAll(statusWords(p.Summary), "_", " "))),
		oneLine(strings.TrimSpace(fmt.Sprintf("%s, %s, on %s, open for %s%s", orDash(p.Priority), orDash(p.Severity), p.where(), p.age(), p.acked()))))
	if p.Resolution != "" {
		say(w, "how it ended: %s", p.Resolution)
	}
	if e := p.Escalation; e != nil {
		say(w, "%s: %s (%s ago)", e.Told, e.Reason, ago(e.At, p.now))
	}
	p.showNow(w)
	p.showCause(w)
	if p.Measured != nil {
		fmt.Fprintf(w, "\n%s\n", p.paint.as(bold, "measured"))
		say(w, "  %s: %s (%s ago)", goneWords(p.Measured.Gone), p.Measured.Text, ago(p.Measured.At, p.now))
	}
	p.showSymptoms(w)
	p.showRuns(w)
	fmt.Fprintf(w, "\n%s\n", p.paint.as(bold, "what to do now"))
	for _, line := range p.next() {
		say(w, "  %s", line)
	}
}

// showNow shows what agents do at this moment.
func (p incidentPage) showNow(w io.Writer) {
	held := slices.ContainsFunc(p.Runs, func(r api.Run) bool { return r.Paused != "" })
	if len(p.Jobs) == 0 || held { // what its agent last told of a paused run is over
		return
	}
	fmt.Fprintf(w, "\n%s\n", p.paint.as(bold, "right now"))
	for _, line := range progressLines(p.Jobs) {
		say(w, "  %s", line)
	}
}

// where is the entity; without one it is what the signals name.
func (p incidentPage) where() string {
	if p.Entity != "" {
		return p.Entity
	}
	if name := p.named(); name != "" {
		return name + ", which is not in the inventory"
	}
	return "nothing in the inventory"
}

// named is the first thing that a signal names; "" when none is at hand.
func (p incidentPage) named() string {
	for _, s := range p.Symptoms {
		if len(s.Resources) > 0 {
			return s.Resources[0].Value
		}
	}
	return ""
}

func (p incidentPage) age() string {
	if !p.ResolvedAt.IsZero() {
		return span(p.ResolvedAt.Sub(p.OpenedAt))
	}
	return ago(p.OpenedAt, p.now)
}

func (p incidentPage) acked() string {
	if p.AckedBy == "" {
		return ", nobody has acknowledged it"
	}
	return ", " + p.AckedBy + " is looking"
}

func statusColour(in api.Summary) string {
	if standing := in.Standing(); standing != in.Status {
		if standing == "dry_run" {
			return dim
		}
		return red
	}
	switch s := incident.Status(in.Status); s {
	case incident.Resolved, incident.Closed, incident.Merged, incident.Suppressed:
		return green
	case incident.Escalated:
		return red
	case incident.New, incident.Diagnosing, incident.AwaitingApproval, incident.Remediating, incident.Verifying:
		return yellow
	}
	return yellow
}

func goneWords(gone string) string {
	switch gone {
	case "true":
		return "the symptom is gone"
	case "false":
		return "the symptom is still there"
	}
	return "cannot tell whether the symptom is gone"
}

func (p incidentPage) showCause(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", p.paint.as(bold, "cause"))
	if p.Why != "" {
		say(w, "  %s", p.Why)
	} else {
		say(w, "  not diagnosed yet")
	}
	showHypotheses(w, p.paint, p.Hypotheses, p.NotLookedAt, maxShownHypotheses)
}

// showHypotheses shows ranked causes with what speaks for and against each, and
// what could not be looked at. most bounds how many are shown; 0 does not.
func showHypotheses(w io.Writer, p paint, list []api.Hypothesis, gaps []string, most int) {
	for i, h := range list {
		if most > 0 && i == most {
			say(w, "  and %d more, less likely: -o json shows them", len(list)-i)
			break
		}
		colour := dim
		switch diagnostics.Band(h.Band) {
		case diagnostics.Confirmed:
			colour = red
		case diagnostics.Likely:
			colour = yellow
		case diagnostics.Possible, diagnostics.Unlikely:
		}
		head := fmt.Sprintf("%s on %s", h.Title, h.Entity)
		if len(h.Object) > 0 {
			head += " (" + pairText(h.Object) + ")"
		}
		fmt.Fprintf(w, "\n  %d. %s  %s\n", i+1, p.as(colour, oneLine(h.Band)), p.as(bold, oneLine(head)))
		say(w, "     %s, probability %.2f", h.Cause, h.Probability)
		showEvidence(w, p, "for", green, h.For)
		showEvidence(w, p, "against", red, h.Against)
		for _, u := range diagnostics.MergeUntold(h.CannotTell) {
			showClaim(w, p.as(dim, "cannot tell "), u.Text(), u.Facts)
		}
		if len(h.Cures) > 0 && worthCuring(h) {
			say(w, "     cured by     %s", strings.Join(h.Cures, ", "))
		}
	}
	if len(gaps) == 0 {
		return
	}
	fmt.Fprintf(w, "\n  %s\n", p.as(dim, "could not be looked at"))
	for i, gap := range gaps {
		if most > 0 && i == maxShownGaps {
			say(w, "     and %d more: -o json shows them", len(gaps)-i)
			return
		}
		say(w, "     %s", gap)
	}
}

// worthCuring reports whether the cause may be there: what was ruled out is
// listed, so that it is known to have been looked at, and has no cure.
func worthCuring(h api.Hypothesis) bool { return diagnostics.Band(h.Band) != diagnostics.Unlikely }

func showEvidence(w io.Writer, p paint, what, colour string, list []diagnostics.Evidence) {
	for _, e := range list {
		text := e.Text
		if text == "" {
			text = e.That
		}
		showClaim(w, p.as(colour, fmt.Sprintf("%-12s", what)), text, e.Facts)
	}
}

// showClaim shows a sentence, with the facts that it rests on, behind its label.
func showClaim(w io.Writer, label, text string, facts []string) {
	if len(facts) > 0 {
		text += "  [" + strings.Join(facts, ", ") + "]"
	}
	fmt.Fprintf(w, "     %s %s\n", label, oneLine(text))
}

func (p incidentPage) showSymptoms(w io.Writer) {
	if len(p.Symptoms) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", p.paint.as(bold, "symptoms"))
	if p.TruncatedAlerts > 0 {
		say(w, "  a source left %d more alerts out of a delivery: nothing is known about them", p.TruncatedAlerts)
	}
	for i, s := range p.Symptoms {
		if i == maxShownSymptoms {
			say(w, "  and %d more", len(p.Symptoms)-i)
			return
		}
		say(w, "  %-12s %s, from %s, %d times since %s", s.State, s.Title, s.Source, s.Count, clock(s.Since))
		if s.Summary != "" && s.Summary != s.Title {
			say(w, "  %-12s %s", "", s.Summary)
		}
		if names := p.NamedBy(s); len(names) > 0 {
			say(w, "  %-12s names %s", "", strings.Join(names, ", "))
		}
	}
}

func (p incidentPage) showRuns(w io.Writer) {
	for _, run := range p.Runs {
		fmt.Fprintf(w, "\n%s\n", p.paint.as(bold, oneLine(fmt.Sprintf("run %s: %s on %s, %s", run.ID, run.Runbook, run.Target, strings.ReplaceAll(run.Status, "_", " ")))))
		if run.ID == p.plan.Run.ID && p.plan.Plan != nil {
			showPlan(w, p.paint, p.plan)
			continue
		}
		showSteps(w, p.paint, run)
	}
	for _, t := range p.Tried {
		if t.Entity != "" { // else a person asked for it, and it stands above
			say(w, "  tried %s on %s: %s, %s", t.Runbook, t.Entity, t.Outcome, t.Why)
		}
	}
}

func showSteps(w io.Writer, p paint, run api.Run) {
	if run.Why != "" {
		say(w, "  %s", run.Why)
	}
	for _, s := range run.Steps {
		var line strings.Builder
		line.WriteString(oneLine(fmt.Sprintf("%s (%s)", s.ID, s.Action)))
		for _, more := range []string{s.Changed, s.Error, strings.Join(s.Measured, "; ")} {
			if more != "" {
				line.WriteString(": " + oneLine(more))
			}
		}
		fmt.Fprintf(w, "  %s  %s\n", p.as(stepColour(s.Status), fmt.Sprintf("%-9s", oneLine(s.Status))), line.String())
	}
}

func stepColour(status string) string {
	switch runbooks.StepStatus(status) {
	case runbooks.StepVerified:
		return green
	case runbooks.StepRefuted, runbooks.StepStuck, runbooks.StepUnknown:
		return red
	case runbooks.StepUndoing, runbooks.StepUndone:
		return yellow
	case runbooks.StepPlanned, runbooks.StepIntent, runbooks.StepRunning, runbooks.StepOutcome, runbooks.StepVerifying, runbooks.StepSkipped:
	}
	return dim
}

// showPlan shows exactly what would change. Render leaves no control character.
func showPlan(w io.Writer, p paint, view api.PlanView) {
	showPlanText(w, p, *view.Plan)
	say(w, "  it takes at most %s; to approve it you need to be %s", view.Worst, view.Needs)
	if n := view.Plan.Approvals; n > 1 {
		say(w, "  it asks for %d different people; %s said yes", n, orNobody(view.ApprovedBy))
	}
}

func showPlanText(w io.Writer, p paint, plan runbooks.Plan) { showMarginal(w, p, plan.Render()) }

// showMarginal paints the differences behind the margins of a rendered text.
func showMarginal(w io.Writer, p paint, text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "   | +"):
			line = p.as(green, line)
		case strings.HasPrefix(line, "   | -"):
			line = p.as(red, line)
		}
		fmt.Fprintln(w, strings.TrimRight("  "+line, " "))
	}
}

// next says what a person can do, as commands to copy.
func (p incidentPage) next() []string {
	n := fmt.Sprint(p.Number)
	var lines []string
	switch incident.Status(p.Status) {
	case incident.AwaitingApproval:
		if run := p.waiting(); run != nil {
			lines = append(lines, approveHint(*run), "secondline reject "+run.ID+" --why \"…\"")
		}
	case incident.Escalated:
		lines = append(lines, "secondline incident ack "+n+"                 you are looking")
		lines = append(lines, p.unreached()...)
		for _, h := range p.Hypotheses {
			if len(h.Cures) > 0 && worthCuring(h) {
				lines = append(lines, fmt.Sprintf("secondline run %s --on %s --incident %s --dry-run", h.Cures[0], h.Entity, n))
				break
			}
		}
		lines = append(lines, "secondline incident resolve "+n+" --why \"…\"")
	case incident.Resolved:
		if p.RunStatus != "" && len(p.Runs) > 0 { // it was there for a run, and there is nothing to diagnose
			lines = append(lines, "secondline run show "+p.Runs[len(p.Runs)-1].ID+" --transcript")
			break
		}
		lines = append(lines, "nothing; if it is not over: secondline incident reopen "+n+" --why \"…\"")
	case incident.Closed, incident.Merged, incident.Suppressed:
		lines = append(lines, "nothing")
	case incident.New, incident.Diagnosing, incident.Remediating, incident.Verifying:
		if i := slices.IndexFunc(p.Runs, func(r api.Run) bool { return r.Paused != "" }); i >= 0 {
			lines = append(lines, fmt.Sprintf("secondline run resume %s   it is %s", p.Runs[i].ID, p.Runs[i].Paused), "secondline run cancel "+p.Runs[i].ID)
			break
		}
		lines = append(lines, "nothing yet; watch it: secondline incident show "+n+" --follow")
	}
	if p.BundleURL != "" {
		lines = append(lines, fmt.Sprintf("secondline bundle get %s -o incident-%s.tar.gz", n, n))
	}
	return append(lines, "secondline incident why "+n)
}

// unreached is what to do when nobody can look at what the signals name.
func (p incidentPage) unreached() []string {
	switch {
	case p.Escalation == nil:
	case p.Escalation.Named == string(triage.NoAgent):
		return []string{
			fmt.Sprintf("secondline agent install --ssh %s --controller …   it is diagnosed as soon as an agent reaches it", orDash(p.Entity)),
			fmt.Sprintf("secondline incident reopen %d   has it diagnosed when you say so", p.Number),
		}
	case p.Escalation.Named == string(triage.EntityUnknown) && p.named() != "":
		return []string{fmt.Sprintf("add %s to the inventory, as a host or as an alias of one", p.named())}
	}
	return nil
}

// approveHint is the command that says yes to exactly this plan.
func approveHint(run api.Run) string {
	return "secondline approve " + run.ID + " --plan " + run.PlanDigest
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

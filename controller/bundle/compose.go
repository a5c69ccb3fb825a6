package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

const stamp = "2006-01-02 15:04:05 UTC"

// Compose makes the report. It is pure: the same input gives the same report.
func Compose(in Input) Report {
	r := Report{
		Schema: ReportSchema, Version: in.Version, MadeAt: in.MadeAt.UTC(), Incident: headline(&in.Incident),
		Others: []Hypothesis{}, Redactions: in.Redactions, LeftOut: append([]string{}, in.LeftOut...),
		MadeOf: append([]Item{}, in.MadeOf...),
	}
	if r.Redactions == nil {
		r.Redactions = map[string]int{}
	}
	if d := in.Incident.Diagnosis; d != nil {
		for i, h := range d.Hypotheses {
			told := hypothesis(h)
			if i == 0 && !d.Unknown {
				r.Cause = &told
				continue
			}
			r.Others = append(r.Others, told)
		}
	}
	r.NotLookedAt = notLookedAt(in)
	r.Impact = impact(in)
	r.Timeline, r.Changes, r.Gap = timeline(in.Events), changesRead(in), gap(in)
	r.Chain = chain(in, r)
	r.Whys = whys(r.Chain)
	r.Never, r.Prevent = []Statement{}, []Statement{}
	if r.Cause != nil {
		r.Never, r.Prevent = advice(in, r.Cause.Cause)
	}
	r.Actions = actions(&in.Incident)
	r.NotDone = notDone(&in.Incident)
	r.Next = nextSteps(in, r)
	r.Evidence = appendix(in)
	r.Answer = answer(in, r)
	return r
}

func headline(in *incident.Incident) Headline {
	h := Headline{
		ID: in.ID, Number: in.Number, Title: in.Title, Status: string(in.Status), Severity: string(in.Severity), Priority: in.Priority,
		Entity: in.Entity, OnsetAt: in.OnsetAt.UTC(), OpenedAt: in.OpenedAt.UTC(), Fixed: "no",
	}
	if !in.ResolvedAt.IsZero() {
		h.ResolvedAt, h.Fixed = in.ResolvedAt.UTC(), "measured"
		if in.Unverified || in.Measured == nil || in.Measured.Gone != expr.True {
			h.Fixed = "unverified"
		}
	}
	return h
}

func cite(text string, ids ...string) Statement {
	return Statement{Text: text, Cites: append([]string{}, ids...)}
}

// answer is what somebody reads who reads nothing else.
func answer(in Input, r Report) []Statement {
	inc := &in.Incident
	where := inc.Entity
	if where == "" {
		where = "something that is not in the inventory"
	}
	broken := cite(fmt.Sprintf("%s on %s, since %s.", inc.Title, where, clock(inc.OnsetAt)), eventIDs(in.Events, incident.EventOpened)...)
	out := []Statement{broken}
	switch {
	case r.Cause != nil:
		text := fmt.Sprintf("Cause, %s: %s%s on %s.", r.Cause.Band, r.Cause.Title, objectText(r.Cause.Object), r.Cause.Entity)
		out = append(out, cite(text, citesOf(r.Cause.For)...))
	case inc.Diagnosis != nil:
		out = append(out, cite("The cause is unknown: "+inc.Diagnosis.Why, citesOf(slices.Concat(r.NotLookedAt))...))
	default:
		out = append(out, cite("The cause is unknown: no diagnosis was made.", eventIDs(in.Events, incident.EventProblem)...))
	}
	measured := cite("Nothing was measured since.")
	if m := inc.Measured; m != nil {
		measured = cite(measuredText(m), m.Facts...)
	}
	switch r.Incident.Fixed {
	case "measured":
		measured.Text = "Fixed. " + measured.Text
	case "unverified":
		measured.Text = "Closed without proof that it is fixed: " + inc.Resolution + ". " + measured.Text
	default:
		verdict := "Not fixed. "
		if inc.Measured != nil && inc.Measured.Gone == expr.True {
			verdict = "Not closed. "
		}
		measured.Text = verdict + measured.Text
	}
	out = append(out, measured)
	if inc.Escalation != nil {
		out = append(out, cite("A person is needed: "+inc.Escalation.Reason+".", eventIDs(in.Events, incident.EventEscalation)...))
	}
	return out
}

func measuredText(m *incident.Measured) string {
	at := " (measured " + clock(m.At) + ")"
	switch m.Gone {
	case expr.True:
		return "The symptom is gone: " + m.Text + at
	case expr.False:
		return "The symptom is still there: " + m.Text + at
	case expr.CannotTell:
	}
	return "Whether the symptom is gone could not be told: " + m.Text + at
}

func eventIDs(events []incident.Event, kind incident.EventKind) []string {
	ids := []string{}
	for _, e := range events {
		if e.Kind == kind && len(ids) < 8 {
			ids = append(ids, fmt.Sprintf("event %d", e.Seq))
		}
	}
	return ids
}

func citesOf(list []Statement) []string {
	ids := []string{}
	for _, s := range list {
		for _, id := range s.Cites {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func hypothesis(h diagnostics.Hypothesis) Hypothesis {
	object := h.Object
	if object == nil {
		object = map[string]string{}
	}
	return Hypothesis{
		Cause: h.Cause, Title: h.Title, Entity: h.Entity, Object: object, Band: h.Band, Probability: h.Probability,
		For: statements(h.For), Against: statements(h.Against), CannotTell: statements(h.CannotTell),
		Cures: append([]string{}, h.Cures...), Digest: h.CauseDigest,
	}
}

func statements(list []diagnostics.Evidence) []Statement {
	out := []Statement{}
	for _, e := range list {
		out = append(out, cite(e.Text, e.Facts...))
	}
	return out
}

// notLookedAt is what the diagnosis missed, and every reading that tells
// nothing: one line for each, with the facts that it is about.
func notLookedAt(in Input) []Statement {
	out := []Statement{}
	where := ""
	if d := in.Incident.Diagnosis; d != nil {
		where = in.Subject().Entity.ID
		for _, gap := range d.NotLookedAt {
			out = append(out, cite(gap))
		}
	}
	for _, f := range in.Facts {
		if f.Status.Tells() {
			continue
		}
		gap := f.Gap()
		if f.Target != where {
			gap = "on " + f.Target + ", " + gap
		}
		i := slices.IndexFunc(out, func(s Statement) bool { return diagnostics.IsAbout(s.Text, gap) })
		if i < 0 {
			i, out = len(out), append(out, cite(gap))
		}
		out[i].Cites = append(out[i].Cites, f.ID)
	}
	return out
}

// merged puts statements of the same text together: pieces of evidence that
// cannot tell for the same reason are one line for people.
func merged(list []Statement) []Statement {
	out := []Statement{}
	for _, s := range list {
		i := slices.IndexFunc(out, func(o Statement) bool { return o.Text == s.Text })
		if i < 0 {
			out = append(out, s)
			continue
		}
		out[i].Cites = citesOf([]Statement{out[i], s})
	}
	return out
}

// impact is what hangs on the broken entity, by the inventory.
func impact(in Input) []Statement {
	out := []Statement{}
	hit := map[string]bool{in.Subject().Entity.ID: true, in.Incident.Entity: true}
	for range len(in.Entities) {
		grown := false
		for _, e := range in.Entities {
			for _, on := range slices.Concat(e.DependsOn, e.RunsOn) {
				if !hit[on] || hit[e.ID] {
					continue
				}
				hit[e.ID], grown = true, true
				text := fmt.Sprintf("%s (%s) hangs on %s", e.ID, e.Kind, on)
				if e.Criticality != "" {
					text += ", criticality " + e.Criticality
				}
				if e.Keep > 0 {
					text += fmt.Sprintf("; %d of its %d places must stay up", e.Keep, len(e.RunsOn))
				}
				out = append(out, cite(text, "inventory"))
			}
		}
		if !grown {
			break
		}
	}
	return out
}

func timeline(events []incident.Event) []Moment {
	out := []Moment{}
	for _, e := range events {
		out = append(out, Moment{Seq: e.Seq, At: e.At.UTC(), Actor: e.Actor, Kind: string(e.Kind), Text: e.Text})
	}
	return out
}

// notDone is what was deliberately left undone, and why.
func notDone(in *incident.Incident) []Statement {
	out := []Statement{}
	for i := range in.Runs {
		run := &in.Runs[i]
		why := ""
		switch run.Status {
		case runbooks.RunRefused:
			why = "refused"
		case runbooks.RunRejected:
			why = "rejected"
		case runbooks.RunCancelled:
			why = "cancelled"
		case runbooks.RunWaiting:
			why = "waits for a person's yes"
			if run.MissingApprovals() == 0 {
				why = "approved, and waited for its turn"
			}
		case runbooks.RunPlanned, runbooks.RunRunning, runbooks.RunVerified, runbooks.RunUndone,
			runbooks.RunRefuted, runbooks.RunUnknown, runbooks.RunFailed:
			continue
		}
		text := fmt.Sprintf("%s on %s: %s", run.Runbook, run.Target, why)
		switch {
		case run.Result != nil && run.Result.Why != "":
			text += ": " + run.Result.Why
		case run.Plan != nil && run.Plan.Refused != "":
			text += ": " + run.Plan.Refused
		case len(run.Decisions) > 0:
			text += ": " + strings.Join(decisions(run.Decisions), "; ")
		}
		out = append(out, cite(text, "run "+run.ID))
	}
	for _, t := range in.Tried {
		cause, entity, object := incident.SplitKey(t.Key)
		text := fmt.Sprintf("%s against %s%s on %s: %s", t.Runbook, cause, objectText(object), entity, t.Outcome)
		if t.Why != "" {
			text += ": " + t.Why
		}
		if !slices.ContainsFunc(in.Runs, func(r incident.Run) bool { return r.Runbook == t.Runbook && r.Key == t.Key }) {
			out = append(out, cite(text))
		}
	}
	if in.Diagnosis != nil {
		for _, h := range in.Diagnosis.Hypotheses {
			if s, ok := unacted(in, h); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// unacted says why no cure of a cause that is possible was started.
func unacted(in *incident.Incident, h diagnostics.Hypothesis) (Statement, bool) {
	key := incident.HypothesisKey(h.Cause, h.Entity, h.Object)
	_, tried := in.FindTried(key)
	if tried || h.Band == diagnostics.Unlikely || slices.ContainsFunc(in.Runs, func(r incident.Run) bool { return r.Key == key }) {
		return Statement{}, false
	}
	text := fmt.Sprintf("nothing was done about %s%s on %s (%s): ", h.Title, objectText(h.Object), h.Entity, h.Band)
	switch {
	case len(h.Cures) == 0:
		text += "no runbook cures it"
	case h.Band == diagnostics.Possible:
		text += "it is only possible, and the machine acts on nothing below likely"
	default:
		text += "see the reasons in the timeline"
	}
	return cite(text, citesOf(statements(slices.Concat(h.For, h.CannotTell)))...), true
}

// nextSteps is what a person could do, the surest first.
func nextSteps(in Input, r Report) []NextStep {
	out := []NextStep{}
	if in.Incident.Diagnosis == nil {
		return out
	}
	for _, h := range in.Incident.Diagnosis.Hypotheses {
		if h.Band == diagnostics.Unlikely {
			continue
		}
		for _, cure := range h.Cures {
			if r.Incident.Fixed == "measured" || attempted(&in.Incident, h, cure) {
				continue
			}
			out = append(out, NextStep{
				Do:      "Look at what " + cure + " would change",
				Command: remote.Quote([]string{"secondline", "run", cure, "--on", h.Entity, "--dry-run"}),
				Why:     fmt.Sprintf("it cures %s%s (%s)", h.Cause, objectText(h.Object), h.Band),
				Risk:    "none: a dry run changes nothing; the plan names the risk of each step",
				Expect:  "a plan whose preconditions are all yes",
				Check:   "the symptom is measured again after the run", Undo: "each step of the plan says how it is undone",
				Cites: citesOf(statements(h.For)),
			})
		}
		for _, e := range h.CannotTell {
			out = append(out, NextStep{
				Do: "Find out by hand: " + e.That, Command: probeCommand(in, e),
				Why:  fmt.Sprintf("it would settle %s%s (%s): %s", h.Cause, objectText(h.Object), h.Band, e.Why),
				Risk: "none: it only reads", Expect: "true speaks for the cause, false against it",
				Check: "the answer moves the hypothesis up or out", Undo: "nothing to undo", Cites: append([]string{}, e.Facts...),
			})
		}
	}
	const most = 12
	return out[:min(len(out), most)]
}

// probeCommand reads again what a piece of evidence asks; "" when no fact says
// which probe that is.
func probeCommand(in Input, e diagnostics.Evidence) string {
	i := slices.IndexFunc(in.Facts, func(f diagnostics.Fact) bool { return slices.Contains(e.Facts, f.ID) && !f.Status.Tells() })
	if i < 0 {
		return ""
	}
	f := in.Facts[i]
	argv := []string{"secondline", "probe", "run", f.Probe}
	for _, name := range slices.Sorted(maps.Keys(f.Args)) {
		argv = append(argv, name+"="+f.Args[name])
	}
	return remote.Quote(append(argv, "--on", f.Target))
}

// attempted reports whether the cure was tried on the hypothesis already.
func attempted(in *incident.Incident, h diagnostics.Hypothesis, cure string) bool {
	key := incident.HypothesisKey(h.Cause, h.Entity, h.Object)
	return slices.ContainsFunc(in.Tried, func(t incident.Tried) bool { return t.Key == key && t.Runbook == cure }) ||
		slices.ContainsFunc(in.Runs, func(r incident.Run) bool { return r.Key == key && r.Runbook == cure && !r.DryRun })
}

func objectText(o map[string]string) string {
	if len(o) == 0 {
		return ""
	}
	parts := []string{}
	for k, v := range o {
		parts = append(parts, k+" "+v)
	}
	slices.Sort(parts)
	return " (" + strings.Join(parts, ", ") + ")"
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(stamp)
}

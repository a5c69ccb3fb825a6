package diagnostics

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
)

// alertClaim is what an alert says is wrong, compared with the host.
type alertClaim struct {
	subject Subject
	known   bool     // a cause of the catalogue explains it
	denied  []string // what the host shows instead, of the object that the alert names
	untold  []string // why that could not be told
	shown   bool     // the host shows it there
}

func newAlertClaim(subject Subject) *alertClaim { return &alertClaim{subject: subject} }

// ask asks the symptom of a cause that explains the alert about the object that
// the alert names, when the cause itself would not look at it: a file system
// that is a quarter full is no candidate, and still the answer to "it is full".
func (a *alertClaim) ask(c *Cause, surveyed *binding, objects []map[string]string, index factIndex) {
	if !c.explainsAlert(a.subject) {
		return
	}
	a.known = true
	object := c.namedBeside(objects, a.subject)
	if object == nil {
		for _, why := range slices.Sorted(maps.Values(surveyed.gaps)) {
			a.untold = addNew(a.untold, why)
		}
		return
	}
	_, needs := c.readFor(c.holds)
	known := surveyed.about(object).read(needs, index)
	switch truth, why, text := c.holds.ask(known); truth {
	case expr.True:
		a.shown = true
	case expr.False:
		a.denied = addNew(a.denied, text)
	case expr.CannotTell:
		a.untold = addNew(a.untold, cmp.Or(known.missing(c.holds.reads()), why))
	}
}

// doubt says that the host does not show what the alert says; "" when it does,
// or when no cause of the catalogue knows the alert.
func (a *alertClaim) doubt(found []weighed) string {
	denied, untold := a.denied, a.untold
	for _, w := range found {
		switch {
		case !w.named || len(a.denied) > 0:
		case w.holds == expr.True:
			return ""
		case w.holds == expr.False:
			denied = addNew(denied, w.symptom)
		default:
			untold = addNew(untold, strings.TrimPrefix(w.symptom, "cannot tell: "))
		}
	}
	switch {
	case !a.known || a.shown:
		return ""
	case len(denied) > 0:
		return "symptom not confirmed: " + strings.Join(denied, "; ")
	case len(untold) > 0:
		return "whether the symptom is there could not be told: " + strings.Join(untold, "; ")
	}
	return "symptom not confirmed: nothing on this host shows it"
}

func addNew(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

func (c *Cause) explainsAlert(s Subject) bool {
	return slices.Contains(c.Symptoms.Alerts, s.Hints[hintAlert])
}

// namedBeside returns the object that the alert names when it is not among the
// objects; nil when it is, or when the alert does not name one.
func (c *Cause) namedBeside(objects []map[string]string, s Subject) map[string]string {
	if len(c.Object) == 0 || !c.explainsAlert(s) {
		return nil
	}
	named := make(map[string]string, len(c.Object))
	for _, key := range c.Object {
		if named[key] = s.Hints[key]; named[key] == "" {
			return nil
		}
	}
	if slices.ContainsFunc(objects, func(o map[string]string) bool { return maps.Equal(o, named) }) {
		return nil
	}
	return named
}

// explain is the one sentence of a diagnosis. doubt says what is wrong with the
// alert, "" when nothing is.
func explain(d Diagnosis, doubt string, facts []Fact, open gaps) string {
	if !d.Unknown {
		why := explainCause(d.Hypotheses[0])
		if more := coverText(d); more != "" {
			why += "; " + more
		}
		return why
	}
	why := nothingFound(facts, open)
	if len(d.Hypotheses) > 0 && d.Hypotheses[0].Band == Possible {
		why = nearest(d)
	}
	if doubt != "" {
		return doubt + "; " + why
	}
	return why
}

func explainCause(top Hypothesis) string {
	if top.Band == Confirmed {
		i := slices.IndexFunc(top.For, func(e Evidence) bool { return e.Role == Proof })
		return fmt.Sprintf("%s is confirmed: %s", nameOf(top), top.For[i].Text)
	}
	reasons := []string{}
	for _, e := range top.For {
		if e.Weight > 0 {
			reasons = append(reasons, e.Text)
		}
	}
	return fmt.Sprintf("%s is likely: %s", nameOf(top), strings.Join(reasons, "; "))
}

func nameOf(h Hypothesis) string {
	if object := objectText(h.Object); object != "" {
		return h.Cause + " (" + object + ")"
	}
	return h.Cause
}

func nearest(d Diagnosis) string {
	why := fmt.Sprintf("nothing is at least likely; the nearest is %s, %s", nameOf(d.Hypotheses[0]), d.Hypotheses[0].Band)
	if n := len(d.NotLookedAt); n > 0 {
		why += fmt.Sprintf("; %s could not be looked at", counted(n, "thing"))
	}
	return why
}

// maxNamedProbes bounds how many probes one sentence names.
const maxNamedProbes = 8

// nothingFound says what was read, and what could not be: "nothing wrong" is
// worth as much as what was looked at.
func nothingFound(facts []Fact, open gaps) string {
	var read, missing, unchecked []string
	for _, f := range facts {
		if f.Status.Tells() {
			read = append(read, f.Probe)
		}
	}
	for why, causes := range open {
		if len(causes) > 0 {
			missing = append(missing, probeOf(why))
			unchecked = append(unchecked, causes...)
		}
	}
	text := "nothing wrong was found"
	if names := someNames(read); names != "" {
		text += "; read: " + names
	}
	if names := someNames(missing); names != "" {
		slices.Sort(unchecked)
		text += fmt.Sprintf("; not readable: %s, so %s could not be ruled out", names, counted(len(slices.Compact(unchecked)), "cause"))
	}
	return text
}

// probeOf is the probe that a sentence about a gap begins with.
func probeOf(gap string) string {
	if i := strings.IndexAny(gap, "(: "); i > 0 {
		return gap[:i]
	}
	return gap
}

// someNames lists the names once each, in order, and counts those beyond the bound.
func someNames(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) <= maxNamedProbes {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamedProbes], ", "), len(names)-maxNamedProbes)
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

package diagnostics

import (
	"fmt"
	"slices"
	"strings"
)

// Cover is a hypothesis with the alerts of the incident that it explains and
// that no hypothesis before it does.
type Cover struct {
	Cause  string            `json:"cause"`
	Object map[string]string `json:"object"`
	Alerts []string          `json:"alerts"`
}

// AlertNames returns the alerts that are to be explained, each once, the one
// that opened the incident first.
func (s Subject) AlertNames() []string {
	names := []string{}
	for _, name := range append([]string{s.Hints[hintAlert]}, s.Alerts...) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// cover takes the fewest hypotheses that together explain the alerts, of those
// that are at least likely: parsimonious covering (Peng, Reggia 1990), greedily
// the one that explains most of what is left, the better ranked first. What is
// left over is unexplained.
func cover(ranked []weighed, alerts []string, all causeIndex) (covers []Cover, unexplained []string) {
	covers, left := []Cover{}, slices.Clone(alerts)
	for len(left) > 0 {
		best, most := -1, []string{}
		for i, w := range ranked {
			if w.Band.atLeastLikely() {
				if named := all.explained(w.cause, left); len(named) > len(most) {
					best, most = i, named
				}
			}
		}
		if best < 0 {
			break
		}
		covers = append(covers, Cover{Cause: ranked[best].Cause, Object: ranked[best].Object, Alerts: most})
		left = slices.DeleteFunc(left, func(name string) bool { return slices.Contains(most, name) })
	}
	return covers, left
}

// names reports whether one of the alerts is among the symptoms of the cause.
func (c *Cause) names(alerts []string) bool {
	return slices.ContainsFunc(alerts, func(name string) bool { return slices.Contains(c.Symptoms.Alerts, name) })
}

// causeIndex finds causes by their ids.
type causeIndex map[string]*Cause

func indexCauses(causes []*Cause) causeIndex {
	all := make(causeIndex, len(causes))
	for _, c := range causes {
		all[c.ID] = c
	}
	return all
}

// explained returns those of the alerts that the cause names, or that a cause
// that follows from it does.
func (all causeIndex) explained(cause *Cause, alerts []string) []string {
	var named []string
	seen := map[string]bool{}
	for next := []*Cause{cause}; len(next) > 0; next = next[1:] {
		c := next[0]
		if seen[c.ID] {
			continue
		}
		seen[c.ID] = true
		for _, name := range alerts {
			if slices.Contains(c.Symptoms.Alerts, name) && !slices.Contains(named, name) {
				named = append(named, name)
			}
		}
		for _, id := range c.Explains {
			if effect, ok := all[id]; ok {
				next = append(next, effect)
			}
		}
	}
	return named
}

// coverText says what the first hypothesis leaves unexplained; "" when there is
// nothing to add.
func coverText(d Diagnosis) string {
	var parts []string
	for _, c := range d.Covers {
		first := d.Hypotheses[0]
		if c.Cause != first.Cause || objectKey(c.Object) != objectKey(first.Object) {
			parts = append(parts, fmt.Sprintf("%s explains %s", nameOf(Hypothesis{Cause: c.Cause, Object: c.Object}), strings.Join(c.Alerts, ", ")))
		}
	}
	if len(d.Unexplained) > 0 {
		parts = append(parts, "nothing found explains "+strings.Join(d.Unexplained, ", "))
	}
	return strings.Join(parts, "; ")
}

package diagnostics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// leavesOpen stands between what could not be looked at and what hangs on it.
const leavesOpen = "; leaves open: "

// gaps are sentences about what could not be looked at, each with the causes
// that it leaves open. A sentence with none says them itself.
type gaps map[string][]string

func (g gaps) add(known *binding, cause *Cause) {
	for _, why := range known.gaps {
		if !slices.Contains(g[why], cause.ID) {
			g[why] = append(g[why], cause.ID)
		}
	}
}

// notAsked ends the sentence about a reading that nobody asked for.
const notAsked = " was not read"

// sentences returns one line for each gap, in order. Once a cause is found, what
// was not asked for could have been: the collection ends with a proof. Then one
// line stands for all of it.
func (g gaps) sentences(found bool) []string {
	out, unneeded := make([]string, 0, len(g)), 0
	for _, why := range slices.Sorted(maps.Keys(g)) {
		if found && strings.HasSuffix(why, notAsked) {
			unneeded++
			continue
		}
		out = append(out, withOpen(why, slices.Sorted(slices.Values(g[why]))))
	}
	if unneeded > 0 {
		out = append(out, fmt.Sprintf("%s of other causes not made, because what was found explains the alert", counted(unneeded, "reading")))
	}
	return out
}

func withOpen(why string, ids []string) string {
	if len(ids) == 0 {
		return why
	}
	return why + leavesOpen + strings.Join(ids, ", ")
}

// Gap says for people why the fact does not tell, as Diagnosis.NotLookedAt
// begins the line about it; "" when it tells.
func (f Fact) Gap() string {
	_, why := reading{}.value(f)
	return why
}

// IsAbout reports whether a line of Diagnosis.NotLookedAt is about the gap of a
// fact.
func IsAbout(line, gap string) bool {
	rest, ok := strings.CutPrefix(line, gap)
	return ok && (rest == "" || strings.HasPrefix(rest, leavesOpen))
}

// Untold is one reason why evidence of a hypothesis cannot tell, with all the
// evidence that it leaves open.
type Untold struct {
	Why      string
	Evidence []Evidence
	Facts    []string // ids of the facts that the evidence cites, in order
}

// Text says it for people in one line.
func (u Untold) Text() string {
	ids := make([]string, 0, len(u.Evidence))
	for _, e := range u.Evidence {
		ids = append(ids, e.ID)
	}
	return withOpen(u.Why, ids)
}

// MergeUntold puts evidence that cannot tell together by its reason, in the
// order of the list.
func MergeUntold(list []Evidence) []Untold {
	out := []Untold{}
	for _, e := range list {
		i := slices.IndexFunc(out, func(u Untold) bool { return u.Why == e.Why })
		if i < 0 {
			i, out = len(out), append(out, Untold{Why: e.Why, Facts: []string{}})
		}
		out[i].Evidence = append(out[i].Evidence, e)
		out[i].Facts = slices.Compact(slices.Sorted(slices.Values(slices.Concat(out[i].Facts, e.Facts))))
	}
	return out
}

package bench

import (
	"slices"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// Result is how an answer compares with the truth of a case.
type Result struct {
	// Truths are the results for the faults that have a cause, in their order.
	Truths []TruthResult `json:"truths,omitempty"`
	// Healthy says that nothing was broken.
	Healthy bool `json:"healthy,omitempty"`
	// UnknownAsked says that some fault is in no catalogue, and UnknownRight that
	// the answer said so and claimed nothing false.
	UnknownAsked bool `json:"unknown_asked,omitempty"`
	UnknownRight bool `json:"unknown_right,omitempty"`
	// Quiet says that nothing was broken, and that the answer claims nothing,
	// does not say that something unknown is wrong, and came without an act.
	Quiet bool `json:"quiet,omitempty"`
	// GaveUp says that the answer is "unknown" though every cause is in the
	// catalogue.
	GaveUp bool `json:"gave_up,omitempty"`
	// FalseCauses counts the claims on healthy hosts, and those that are not
	// right where something unknown is broken.
	FalseCauses int `json:"false_causes,omitempty"`
	// WrongClaims counts the claims that are not right where the truth is known
	// in full. A true cause downstream of the truth is among them, so that this
	// is shown and is no error by itself.
	WrongClaims int `json:"wrong_claims,omitempty"`
	// ActedWrongly says that the tool acted where no machine may, as it says or as
	// the hosts show.
	ActedWrongly bool `json:"acted_wrongly,omitempty"`
	// CureAsked says that a machine may fix all that is broken.
	CureAsked bool `json:"cure_asked,omitempty"`
}

// TruthResult is how an answer compares with one cause. A rank is from 1; 0
// means that it is not in the answer.
type TruthResult struct {
	Cause  string `json:"cause"`
	Entity string `json:"entity"`
	// CauseRank is the place of the first hypothesis with the right cause, the
	// right entity, and every entry of the truth's object. What is right for
	// another fault of the case is not counted in front of it: a perfect answer
	// to two faults has rank 1 twice.
	CauseRank int `json:"cause_rank"`
	// EntityRank is the place of the right entity among the different entities
	// of the hypotheses, counted in the same way.
	EntityRank int `json:"entity_rank"`
	// Claimed says that some hypothesis that is right is a claim.
	Claimed bool `json:"claimed,omitempty"`
	// ObjectRight says that the first hypothesis with the right cause on the
	// right entity has the object, too.
	ObjectRight bool `json:"object_right"`
	// ChainAsked says that the truth has a chain that can be compared, and
	// ChainRight that the answer has the same.
	ChainAsked bool `json:"chain_asked,omitempty"`
	ChainRight bool `json:"chain_right,omitempty"`
}

// Score compares an answer with the truths of a case: one, or several for faults
// that come together. Changed says that somebody changed something on the hosts,
// whether or not the tool says so (FindActs). What the tool itself rejects has no
// rank.
//
// An answer has one chain, so that the chain is compared only when one truth
// alone has one.
func Score(cases []faults.Case, a Answer, changed bool) Result {
	a.Hypotheses = slices.DeleteFunc(slices.Clone(a.Hypotheses), Hypothesis.Rejected)
	known := withCause(cases)
	out := Result{
		Healthy:      allHealthy(cases),
		UnknownAsked: slices.ContainsFunc(cases, func(c faults.Case) bool { return c.Fault.Truth.Unknown }),
		CureAsked:    all(broken(cases), func(c faults.Case) bool { return c.Fault.Truth.Cure }),
	}
	for i, c := range known {
		out.Truths = append(out.Truths, scoreTruth(c, without(known, i), a))
	}
	wrong := 0
	for _, h := range a.Hypotheses {
		if h.Claims() && !slices.ContainsFunc(known, func(c faults.Case) bool { return right(c, h) }) {
			wrong++
		}
	}
	if out.Healthy || out.UnknownAsked {
		out.FalseCauses = wrong
	} else {
		out.WrongClaims = wrong
	}
	out.UnknownRight = out.UnknownAsked && a.Unknown && wrong == 0
	out.GaveUp = a.Unknown && len(known) > 0 && !out.UnknownAsked
	acted := changed || len(a.Actions) > 0
	out.ActedWrongly = acted && !mayBeMended(cases)
	out.Quiet = out.Healthy && wrong == 0 && !a.Unknown && !acted
	return out
}

func allHealthy(cases []faults.Case) bool {
	return all(cases, func(c faults.Case) bool { return c.Fault.Healthy() })
}

// mayBeMended says whether a machine may act on some fault of the case.
func mayBeMended(cases []faults.Case) bool {
	return slices.ContainsFunc(cases, func(c faults.Case) bool { return c.Fault.Truth.Cure })
}

// NamesAll says whether each cause of the case is claimed, and rightly. A case
// without a cause has none to name.
func NamesAll(cases []faults.Case, hypotheses []Hypothesis) bool {
	known := withCause(cases)
	return all(known, func(c faults.Case) bool { return claimed(c, hypotheses) })
}

func claimed(c faults.Case, hypotheses []Hypothesis) bool {
	return slices.ContainsFunc(hypotheses, func(h Hypothesis) bool { return h.Claims() && right(c, h) })
}

func withCause(cases []faults.Case) []faults.Case {
	return slices.DeleteFunc(slices.Clone(cases), func(c faults.Case) bool { return c.Fault.Truth.Cause == "" })
}

func scoreTruth(c faults.Case, others []faults.Case, a Answer) TruthResult {
	t := c.Fault.Truth
	out := TruthResult{Cause: t.Cause, Entity: c.Entity()}
	hasChain := func(c faults.Case) bool { return len(c.Fault.Truth.Chain) > 0 }
	out.ChainAsked = hasChain(c) && !slices.ContainsFunc(others, hasChain)
	out.ChainRight = out.ChainAsked && slices.Equal(slices.Compact(slices.Clone(a.Chain)), t.Chain)

	out.CauseRank = rank(a.Hypotheses,
		func(h Hypothesis) bool { return right(c, h) },
		func(h Hypothesis) bool { return rightForAny(others, h) })
	first := slices.IndexFunc(a.Hypotheses, func(h Hypothesis) bool { return rightCause(c, h) })
	out.ObjectRight = first >= 0 && right(c, a.Hypotheses[first])
	out.Claimed = claimed(c, a.Hypotheses)

	var entities []string
	for _, h := range a.Hypotheses {
		if !slices.Contains(entities, h.Entity) {
			entities = append(entities, h.Entity)
		}
	}
	out.EntityRank = rank(entities,
		func(e string) bool { return e == c.Entity() },
		func(e string) bool {
			return slices.ContainsFunc(others, func(o faults.Case) bool { return o.Entity() == e })
		})
	return out
}

// rank returns the place of the first that is right, from 1, without those in
// front of it that are to be passed over; 0 when none is right.
func rank[T any](list []T, right, passOver func(T) bool) int {
	place := 1
	for _, item := range list {
		switch {
		case right(item):
			return place
		case !passOver(item):
			place++
		}
	}
	return 0
}

func rightCause(c faults.Case, h Hypothesis) bool {
	t := c.Fault.Truth
	return h.Entity == c.Entity() && (h.Cause == t.Cause || slices.Contains(t.Also, h.Cause))
}

func right(c faults.Case, h Hypothesis) bool {
	if !rightCause(c, h) {
		return false
	}
	for key, want := range c.Fault.Truth.Object {
		if got, ok := h.Object[key]; !ok || got != want {
			return false
		}
	}
	return true
}

func rightForAny(cases []faults.Case, h Hypothesis) bool {
	return slices.ContainsFunc(cases, func(c faults.Case) bool { return right(c, h) })
}

func broken(cases []faults.Case) []faults.Case {
	return slices.DeleteFunc(slices.Clone(cases), func(c faults.Case) bool { return c.Fault.Healthy() })
}

func without(cases []faults.Case, at int) []faults.Case {
	return slices.Delete(slices.Clone(cases), at, at+1)
}

// all says that there are some, and that each is so.
func all(cases []faults.Case, so func(faults.Case) bool) bool {
	return len(cases) > 0 && !slices.ContainsFunc(cases, func(c faults.Case) bool { return !so(c) })
}

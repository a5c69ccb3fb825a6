package diagnostics

import (
	"cmp"
	"slices"

	"github.com/secondline-ops/secondline/internal/expr"
)

// Rank says which causes of the catalogue the facts speak for, on the subject.
// It is pure: the same facts in any order give the same diagnosis.
func Rank(cat *Catalogue, facts []Fact, subject Subject) Diagnosis {
	index := indexFacts(facts, subject.Entity.ID)
	var found []weighed
	gaps := gaps{}
	alert := newAlertClaim(subject)
	for _, cause := range cat.All() {
		if cause.Lacks != "" && cause.Entity == subject.Entity.Kind {
			gaps[cause.Lacks] = append(gaps[cause.Lacks], cause.ID)
		}
		if !cause.Diagnosed() || cause.Entity != subject.Entity.Kind {
			continue
		}
		surveyed := newBinding(subject).read(cause.survey, index)
		gaps.add(surveyed, cause)
		objects, limit := cause.objects(surveyed)
		alert.ask(cause, surveyed, objects, index)
		if limit != "" {
			gaps[limit] = nil
		}
		for _, object := range objects {
			known := surveyed.about(object).read(cause.needs, index)
			w := weigh(cause, object, known, subject)
			if !w.ruledOut() { // else there is nothing that a gap could leave open
				gaps.add(known, cause)
			}
			found = append(found, w)
		}
	}
	d := conclude(found, subject.AlertNames(), indexCauses(cat.All()))
	d.NotLookedAt = gaps.sentences(!d.Unknown)
	d.Why = explain(d, alert.doubt(found), facts, gaps)
	d.Subject = &subject
	return d
}

// weighed is a hypothesis on its way.
type weighed struct {
	Hypothesis
	cause    *Cause
	named    bool // it names the alert
	odds     float64
	holds    expr.Truth // of the symptom
	symptom  string     // what was asked for holds, for people
	required expr.Truth // of all required evidence together
	refuted  expr.Truth // by any refuting evidence
	proved   bool
}

// ruledOut reports whether the cause is not there now, whatever else speaks
// for it.
func (w weighed) ruledOut() bool {
	return w.refuted == expr.True || w.required == expr.False || w.holds == expr.False
}

// weigh asks all evidence of a cause about one object.
func weigh(cause *Cause, object map[string]string, known *binding, subject Subject) weighed {
	w := weighed{
		cause: cause, required: expr.True, refuted: expr.False,
		named: cause.names(subject.AlertNames()),
		Hypothesis: Hypothesis{
			Cause: cause.ID, Title: cause.Title, Entity: subject.Entity.ID,
			Object: cause.describe(object, known),
			For:    []Evidence{}, Against: []Evidence{}, CannotTell: []Evidence{},
			Cures: cause.Cures, CauseDigest: cause.Digest,
		},
	}
	w.holds, _, w.symptom = cause.holds.ask(known)
	w.Explains = w.named || w.holds == expr.True
	evidence := make([]Evidence, len(cause.Evidence))
	own := make([]float64, len(cause.Evidence))
	for i, spec := range cause.Evidence {
		evidence[i], own[i] = spec.ask(known)
		w.note(evidence[i])
	}
	w.odds = logit(cause.Prior)
	for i, weight := range weightsByGroup(cause.Evidence, own) {
		evidence[i].Weight = weight
		w.odds += weight
	}
	if w.ruledOut() { // clamped before certainty is shared, so that it takes none from the others
		w.odds = min(w.odds, logit(ruledOutCap))
	}
	w.sort(evidence)
	return w
}

// ask evaluates the evidence; own is what it says by itself, in log-odds.
func (s EvidenceSpec) ask(known *binding) (e Evidence, own float64) {
	truth, why, text := s.claim.ask(known)
	e = Evidence{
		ID: s.ID, Text: text, That: s.That, Role: s.Role, Truth: truth, Why: why,
		Facts: known.citations(s.claim.reads()),
	}
	return e, logOdds(truth, s.SeenIfCause, s.SeenOtherwise)
}

// note keeps what the outcome of a piece of evidence decides by its role.
func (w *weighed) note(e Evidence) {
	switch e.Role {
	case Required:
		if e.Truth == expr.False || e.Truth == expr.CannotTell && w.required == expr.True {
			w.required = e.Truth
		}
	case Refuting:
		if e.Truth == expr.True || e.Truth == expr.CannotTell && w.refuted == expr.False {
			w.refuted = e.Truth
		}
	case Proof:
		w.proved = w.proved || e.Truth == expr.True
	case Supporting:
	}
}

// weightsByGroup returns what each piece contributes.
func weightsByGroup(specs []EvidenceSpec, own []float64) []float64 {
	members := map[string][]int{}
	for i, s := range specs {
		members[s.Group] = append(members[s.Group], i)
	}
	out := make([]float64, len(specs))
	for _, group := range members {
		weights := make([]float64, len(group))
		for j, i := range group {
			weights[j] = own[i]
		}
		for j, w := range groupWeights(weights) {
			out[group[j]] = w
		}
	}
	return out
}

// sort puts each piece where it belongs: a refuting one speaks against the
// cause when it is true.
func (w *weighed) sort(evidence []Evidence) {
	for _, e := range evidence {
		switch {
		case e.Truth == expr.CannotTell:
			w.CannotTell = append(w.CannotTell, e)
		case (e.Truth == expr.True) == (e.Role != Refuting):
			w.For = append(w.For, e)
		default:
			w.Against = append(w.Against, e)
		}
	}
}

// band puts the probability into a word. Confirmed needs a proof, not a
// number. What could not be told of required evidence, or of the symptom, keeps
// it at most possible; of refuting evidence, at most likely: unattended is only
// what nothing that could be read may still refute.
func (w weighed) band() Band {
	told := w.required == expr.True && w.holds == expr.True
	switch {
	case w.ruledOut():
		return Unlikely
	case told && w.proved && w.refuted == expr.False:
		return Confirmed
	case told && (w.proved || w.Probability >= likelyFrom):
		return Likely
	case w.Probability >= possibleFrom:
		return Possible
	}
	return Unlikely
}

// conclude shares certainty among the hypotheses, orders them, and says which
// of them explain the alerts.
func conclude(found []weighed, alerts []string, all causeIndex) Diagnosis {
	odds := make([]float64, len(found))
	for i, w := range found {
		odds[i] = w.odds
	}
	for i, p := range probabilities(odds) {
		found[i].Probability = p
		found[i].Band = found[i].band()
	}
	slices.SortStableFunc(found, compare)
	d := Diagnosis{Hypotheses: make([]Hypothesis, 0, len(found))}
	ranked := rootsFirst(found)
	for _, w := range ranked {
		d.Hypotheses = append(d.Hypotheses, w.Hypothesis)
	}
	d.Covers, d.Unexplained = cover(ranked, alerts, all)
	d.Unknown = len(found) == 0 || !d.Hypotheses[0].Band.atLeastLikely()
	return d
}

// compare orders hypotheses best first.
func compare(a, b weighed) int {
	return cmp.Or(
		cmp.Compare(a.Band.rank(), b.Band.rank()),
		-compareBool(a.named, b.named),
		-compareBool(a.Explains, b.Explains),
		-cmp.Compare(a.Probability, b.Probability),
		cmp.Compare(a.Cause, b.Cause),
		cmp.Compare(objectKey(a.Object), objectKey(b.Object)),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// rank is 0 for the surest band.
func (b Band) rank() int { return slices.Index([]Band{Confirmed, Likely, Possible, Unlikely}, b) }

func (b Band) atLeastLikely() bool { return b == Confirmed || b == Likely }

// rootsFirst moves a cause before those that follow from it, as long as it is
// at least as sure: to act on the consequence first would be to act on a
// symptom.
func rootsFirst(sorted []weighed) []weighed {
	left, out := slices.Clone(sorted), make([]weighed, 0, len(sorted))
	for len(left) > 0 {
		next := 0
		for range left { // a bound, should causes explain each other
			root := rootOf(left, next)
			if root < 0 {
				break
			}
			next = root
		}
		out = append(out, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return out
}

// rootOf returns the first hypothesis that the one at i follows from, or -1.
func rootOf(all []weighed, i int) int {
	if !all[i].Band.atLeastLikely() {
		return -1
	}
	return slices.IndexFunc(all, func(o weighed) bool {
		return o.Band.rank() <= all[i].Band.rank() && o.Cause != all[i].Cause && slices.Contains(o.cause.Explains, all[i].Cause)
	})
}

package diagnostics

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/secondline-ops/secondline/internal/expr"
)

// Claim is one statement of a diagnosis, made again from the raw bytes.
type Claim struct {
	Cause    string            `json:"cause"`
	Object   map[string]string `json:"object"`
	Evidence string            `json:"evidence"` // "" for the band
	That     string            `json:"that"`
	Stated   string            `json:"stated"` // the truth, or the band
	Found    string            `json:"found"`
	Holds    bool              `json:"holds"`
	Why      string            `json:"why,omitempty"` // why it does not hold
	Facts    []string          `json:"facts"`
}

// Recheck makes every statement of the diagnosis again: it parses the raw bytes
// of each fact with the probe, when the probe is at hand and no plugin parsed
// it, ranks again with the catalogue, and compares each truth and each band
// with what was stated. Bytes that do not match their digest prove nothing. It
// trusts no value of a built-in probe's fact.
func Recheck(cat *Catalogue, probes *ProbeSet, facts []Fact, subject Subject, stated Diagnosis) []Claim {
	again := make([]Fact, len(facts))
	problems := map[string]string{} // by fact id
	for i, f := range facts {
		again[i] = f
		if why := reparse(&again[i], probes); why != "" {
			problems[f.ID] = why
		}
	}
	fresh := Rank(cat, again, subject)
	claims := []Claim{}
	for _, h := range stated.Hypotheses {
		i := slices.IndexFunc(fresh.Hypotheses, func(o Hypothesis) bool {
			return o.Cause == h.Cause && o.Entity == h.Entity && objectKey(o.Object) == objectKey(h.Object)
		})
		var found *Hypothesis
		if i >= 0 {
			found = &fresh.Hypotheses[i]
		}
		claims = append(claims, compareHypothesis(h, found, problems)...)
	}
	return claims
}

// reparse replaces the fact's value by what its raw bytes say, and says what is
// wrong with them.
func reparse(f *Fact, probes *ProbeSet) (why string) {
	probe, err := probes.Find(f.Probe)
	switch {
	case f.Plugin != "" || err != nil:
		return "" // the one who parsed it is not here; its value stands as stated
	case !f.Status.Tells() && len(f.Raws) == 0:
		return "" // it states nothing
	}
	for _, raw := range f.Raws {
		sealed := raw
		sealed.Seal()
		if sealed.SHA256 != raw.SHA256 || sealed.Bytes != raw.Bytes {
			why = fmt.Sprintf("the bytes of %q of %s do not match their digest", raw.Name, f.ID)
			f.Value, f.Status, f.Error = nil, Failed, why
			return why
		}
	}
	if len(f.Raws) == 0 {
		why = f.ID + " has no raw bytes to prove it"
		f.Value, f.Status, f.Error = nil, Failed, why
		return why
	}
	f.Value, f.Status, f.Error = reparseValue(probe, f)
	return ""
}

// reparseValue is Parse, guarded: the bytes are whatever the bundle holds.
func reparseValue(probe Probe, f *Fact) (value Value, status Status, text string) {
	defer func() {
		if p := recover(); p != nil {
			value, status, text = nil, Failed, clip(fmt.Sprintf("the probe crashed: %v", p))
		}
	}()
	return parseProbe(probe, f.Raws, f.Args)
}

// compareHypothesis makes a claim of each evidence and of the band.
func compareHypothesis(stated Hypothesis, found *Hypothesis, problems map[string]string) []Claim {
	missing := ""
	switch {
	case found == nil:
		missing = "the catalogue and the facts do not give this hypothesis"
	case found.CauseDigest != stated.CauseDigest:
		missing = "the catalogue has another version of this cause"
	}
	claims := []Claim{}
	for _, e := range stated.evidence() {
		c := Claim{
			Cause: stated.Cause, Object: stated.Object, Evidence: e.ID, That: e.That,
			Stated: string(e.Truth), Facts: e.Facts, Why: missing,
		}
		if missing == "" {
			c.compare(e, found)
		}
		for _, id := range e.Facts {
			if !c.Holds && problems[id] != "" {
				c.Why = problems[id]
			}
		}
		claims = append(claims, c)
	}
	band := Claim{
		Cause: stated.Cause, Object: stated.Object, That: "the band", Stated: string(stated.Band), Facts: []string{}, Why: missing,
	}
	if missing == "" {
		band.Found = string(found.Band)
		band.Holds = found.Band == stated.Band
		if !band.Holds {
			band.Why = "the evidence gives another band"
		}
	}
	return append(claims, band)
}

// compare fills in what was found about one piece of evidence.
func (c *Claim) compare(e Evidence, found *Hypothesis) {
	all := found.evidence()
	i := slices.IndexFunc(all, func(o Evidence) bool { return o.ID == e.ID })
	switch {
	case i < 0:
		c.Found, c.Why = string(expr.CannotTell), "the cause has no such evidence"
	case all[i].That != e.That || all[i].Role != e.Role:
		c.Found, c.Why = string(all[i].Truth), "the cause asks something else"
	case all[i].Truth != e.Truth:
		c.Found, c.Why = string(all[i].Truth), cmp.Or(all[i].Why, "the raw bytes say otherwise")
	case !slices.Equal(all[i].Facts, e.Facts):
		c.Found, c.Why = string(all[i].Truth), "it rests on other facts than it cites"
	default:
		c.Found, c.Holds = string(all[i].Truth), true
	}
}

// evidence returns all pieces of a hypothesis.
func (h Hypothesis) evidence() []Evidence { return slices.Concat(h.For, h.Against, h.CannotTell) }

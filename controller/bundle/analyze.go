package bundle

import (
	"fmt"
	"slices"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Analysis is what causes of today make of the readings in a bundle.
type Analysis struct {
	WrittenBy string                `json:"written_by"` // version of the tool that made the diagnosis
	Diagnosis diagnostics.Diagnosis `json:"diagnosis"`  // as it would be today
	Changes   []Change              `json:"changes"`    // against the one in the bundle
	Unread    []string              `json:"unread"`     // readings that told something, and cannot be understood again, and why
}

// Change is a difference between two bundles, or between then and now.
type Change struct {
	Area string `json:"area"` // "incident", "diagnosis", "evidence", "reading", "run"
	What string `json:"what"`
	Was  string `json:"was"` // "" when it was not there
	Is   string `json:"is"`  // "" when it is not there
}

// String says it in one line.
func (c Change) String() string {
	switch {
	case c.Was == "":
		return fmt.Sprintf("%s: %s is new: %s", c.Area, c.What, c.Is)
	case c.Is == "":
		return fmt.Sprintf("%s: %s is gone; it was %s", c.Area, c.What, c.Was)
	}
	return fmt.Sprintf("%s: %s was %s, is %s", c.Area, c.What, c.Was, c.Is)
}

// Analyze understands the raw bytes in a bundle again and ranks again, with the
// causes and probes given. What a new cause asks that nobody read cannot be told.
// It is pure. A bundle whose records cannot be read is an error of kind Invalid.
func Analyze(b *Bundle, causes *diagnostics.Catalogue, probes *diagnostics.ProbeSet) (Analysis, error) {
	known, unread, err := recorded(b, probes)
	if err != nil {
		return Analysis{}, err
	}
	a := Analysis{WrittenBy: b.manifest.Version, Unread: unread, Diagnosis: diagnostics.Rank(causes, known.Facts, known.Subject)}
	stated := diagnostics.Diagnosis{Unknown: true}
	if d := known.Incident.Diagnosis; d != nil {
		stated = *d
	}
	a.Changes = diagnosisChanges(stated, a.Diagnosis)
	return a, nil
}

// readAgain replaces the fact's value by what its raw bytes say to today's probe.
// What cannot be read again cannot be told, and why is returned; what a plugin
// that is not here understood stands as it was stated.
func readAgain(f *diagnostics.Fact, probes *diagnostics.ProbeSet) (why string) {
	probe, err := probes.Find(f.Probe)
	switch {
	case err != nil && f.Plugin != "", len(f.Raws) == 0 && !f.Status.Tells():
		return ""
	case err != nil:
		why = "there is no such probe any more"
	case slices.ContainsFunc(f.Raws, func(r diagnostics.Raw) bool { return r.Data == nil && r.Bytes > 0 }):
		why = "its bytes are not in the bundle"
	case len(f.Raws) == 0:
		why = "it has no raw bytes"
	}
	if why == "" {
		defer func() {
			if p := recover(); p != nil { // the bytes are whatever the bundle holds
				why = fmt.Sprintf("the probe crashed: %v", p)
				f.Value, f.Status, f.Error = nil, diagnostics.Failed, why
			}
		}()
		value, status, err := probe.Parse(f.Raws, f.Args)
		if f.Value, f.Status, f.Error = value, status, ""; err == nil {
			return ""
		}
		f.Error = err.Error()
		return f.Error
	}
	f.Value, f.Status, f.Error = nil, diagnostics.Failed, why
	return why
}

// diagnosisChanges compares two diagnoses: the answer, the band of each
// hypothesis, and the truth of each piece of evidence.
func diagnosisChanges(was, is diagnostics.Diagnosis) []Change {
	changes := []Change{}
	if a, b := topOf(was), topOf(is); a != b {
		changes = append(changes, Change{"diagnosis", "the most likely cause", a, b})
	}
	keys, old, fresh := []string{}, map[string]diagnostics.Hypothesis{}, map[string]diagnostics.Hypothesis{}
	for _, h := range was.Hypotheses {
		old[hypothesisName(h)] = h
		keys = append(keys, hypothesisName(h))
	}
	for _, h := range is.Hypotheses {
		fresh[hypothesisName(h)] = h
		keys = append(keys, hypothesisName(h))
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		a, hadIt := old[key]
		b, hasIt := fresh[key]
		changes = append(changes, changeOf("diagnosis", key, bandText(a, hadIt), bandText(b, hasIt))...)
		if hadIt && hasIt {
			if a.CauseDigest != b.CauseDigest {
				changes = append(changes, Change{"diagnosis", key + ": the definition of the cause", a.CauseDigest, b.CauseDigest})
			}
			changes = append(changes, evidenceChanges(key, a, b)...)
		}
	}
	return changes
}

func evidenceChanges(key string, a, b diagnostics.Hypothesis) []Change {
	truths := func(h diagnostics.Hypothesis) map[string]string {
		found := map[string]string{}
		for _, e := range slices.Concat(h.For, h.Against, h.CannotTell) {
			found[e.ID] = string(e.Truth)
		}
		return found
	}
	return mapChanges("evidence", key+"/", truths(a), truths(b))
}

func topOf(d diagnostics.Diagnosis) string {
	if d.Unknown || len(d.Hypotheses) == 0 {
		return "unknown"
	}
	return hypothesisName(d.Hypotheses[0])
}

func hypothesisName(h diagnostics.Hypothesis) string {
	return h.Cause + objectText(h.Object) + " on " + h.Entity
}

func bandText(h diagnostics.Hypothesis, there bool) string {
	if !there {
		return ""
	}
	return string(h.Band)
}

func changeOf(area, what, was, is string) []Change {
	if was == is {
		return nil
	}
	return []Change{{area, what, was, is}}
}

// mapChanges lists what differs between two maps, in the order of their keys.
func mapChanges(area, prefix string, was, is map[string]string) []Change {
	keys := []string{}
	for key := range was {
		keys = append(keys, key)
	}
	for key := range is {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	changes := []Change{}
	for _, key := range slices.Compact(keys) {
		changes = append(changes, changeOf(area, prefix+key, was[key], is[key])...)
	}
	return changes
}

// Recorded is what a bundle knows of the hosts when its diagnosis was made, for
// those who ask it in place of the hosts.
type Recorded struct {
	Incident incident.Incident
	Subject  diagnostics.Subject
	Entities []entity.Entity
	Facts    []diagnostics.Fact // with their bytes, understood again
}

// Records returns what the bundle knows. It is pure. A bundle whose records
// cannot be read is an error of kind Invalid.
func Records(b *Bundle, probes *diagnostics.ProbeSet) (Recorded, error) {
	r, _, err := recorded(b, probes)
	return r, err
}

// recorded is Records, and which readings could not be understood again.
func recorded(b *Bundle, probes *diagnostics.ProbeSet) (r Recorded, unread []string, err error) {
	v := verifier{b: b}
	s, ok := v.sources()
	if !ok {
		return r, nil, fault.New(fault.Invalid, "the bundle cannot be read: %q", v.result.Problems)
	}
	in := s.input
	r = Recorded{Incident: in.Incident, Subject: in.Subject(), Entities: in.Entities, Facts: v.withData(in.Facts)}
	if in.Incident.Diagnosis != nil {
		r.Facts = roundOf(r.Facts, *in.Incident.Diagnosis)
	}
	unread = []string{}
	for i := range r.Facts {
		told := r.Facts[i].Status.Tells()
		if why := readAgain(&r.Facts[i], probes); why != "" && told {
			unread = append(unread, r.Facts[i].ID+": "+why)
		}
	}
	return r, unread, nil
}

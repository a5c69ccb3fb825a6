package diagnostics

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// What to read next is chosen as in decision-theoretic troubleshooting
// (Heckerman, Breese, Rommelse 1995): by how much an answer is expected to
// settle, for each second that it costs.
const (
	askCost     = 0.05 // seconds that any reading costs besides its own: a round trip, a process
	mayMatter   = 1e-6 // bits: what decides no evidence is read last (a cure may need it), and not left out
	wellBelow   = 0.1  // of the best: what is worth less waits for the answers of the best
	symptomSeen = 0.95 // P(the symptom is measured now | the cause)
	symptomElse = 0.20 // P(it is measured | not the cause): another cause of the same symptom
)

// suspect is a hypothesis while its facts are being collected.
type suspect struct {
	weighed
	object  map[string]string
	pending map[string]request // by the name of the reading, what was not read yet
}

// suspects returns what the causes could be about, by what the survey found.
func suspects(causes []*Cause, subject Subject, facts factIndex) []suspect {
	var out []suspect
	for _, cause := range causes {
		surveyed := newBinding(subject).read(cause.survey, facts)
		objects, _ := cause.objects(surveyed)
		for _, object := range objects {
			s := suspect{object: object, pending: map[string]request{}}
			about := surveyed.about(object)
			for _, r := range cause.needs {
				if args, why := r.args(about.vars); why == "" {
					s.pending[r.name] = request{r.probe, args}
				}
			}
			s.look(cause, subject, facts)
			out = append(out, s)
		}
	}
	return out
}

// look weighs the suspect again by the facts that there are now.
func (s *suspect) look(cause *Cause, subject Subject, facts factIndex) {
	for name, r := range s.pending {
		if _, read := facts[factKey(r.probe, r.args)]; read {
			delete(s.pending, name)
		}
	}
	known := newBinding(subject).read(cause.survey, facts).about(s.object).read(cause.needs, facts)
	s.weighed = weigh(cause, s.object, known, subject)
}

// settled reports whether the readings of the suspect would change nothing.
func (s *suspect) settled() bool { return len(s.pending) == 0 || s.ruledOut() }

// readNeeds reads what tells the suspects apart, what settles most for its cost
// first. What a suspect that is ruled out would need is not read; and once the
// alerts are explained by what is confirmed, only what could stand behind it is.
// It reports whether they are.
func (run *collection) readNeeds(ctx context.Context, causes []*Cause, subject Subject) (proven bool) {
	run.read(ctx, namedRequests(causes, subject, run.index()))
	all := suspects(causes, subject, run.index())
	for {
		sure := explaining(all, causes, subject)
		choices := run.bestFirst(worthReading(all, sure))
		if ctx.Err() != nil { // what the time did not reach is a fact that says so
			run.read(ctx, requestsOf(choices))
		}
		if ctx.Err() != nil || len(choices) == 0 {
			return len(sure) > 0
		}
		best := choices[0].worth
		choices = slices.DeleteFunc(choices, func(c choice) bool { return c.worth < wellBelow*best })
		batch := requestsOf(choices[:min(len(choices), parallelProbes)])
		run.read(ctx, batch)
		facts := run.index()
		for i := range all {
			if all[i].asks(batch) {
				all[i].look(all[i].cause, subject, facts)
			}
		}
	}
}

func (s *suspect) asks(batch []request) bool {
	for _, r := range s.pending {
		if slices.ContainsFunc(batch, func(b request) bool { return factKey(b.probe, b.args) == factKey(r.probe, r.args) }) {
			return true
		}
	}
	return false
}

// namedRequests asks for the symptom of what the alert names where a cause
// itself would not look at it.
func namedRequests(causes []*Cause, subject Subject, facts factIndex) []request {
	var wanted []request
	for _, cause := range causes {
		surveyed := newBinding(subject).read(cause.survey, facts)
		objects, _ := cause.objects(surveyed)
		if named := cause.namedBeside(objects, subject); named != nil {
			_, needs := cause.readFor(cause.holds)
			wanted = append(wanted, requests(needs, surveyed.about(named))...)
		}
	}
	return wanted
}

// explaining returns what is confirmed and measured now, when it explains all
// alerts of which the causes know; else nothing.
func explaining(all []suspect, causes []*Cause, subject Subject) []suspect {
	index := indexCauses(causes)
	left := slices.DeleteFunc(subject.AlertNames(), func(name string) bool {
		return !slices.ContainsFunc(causes, func(c *Cause) bool { return c.names([]string{name}) })
	})
	var sure []suspect
	for _, s := range all {
		if s.Explains && s.band() == Confirmed {
			sure = append(sure, s)
			named := index.explained(s.cause, left)
			left = slices.DeleteFunc(left, func(name string) bool { return slices.Contains(named, name) })
		}
	}
	if len(left) > 0 {
		return nil
	}
	return sure
}

// worthReading returns the suspects whose readings may still change something.
func worthReading(all, sure []suspect) []suspect {
	behind := roots(all, sure)
	return slices.DeleteFunc(slices.Clone(all), func(s suspect) bool {
		return s.settled() || len(sure) > 0 && !behind[s.cause.ID]
	})
}

// roots returns the causes of the proven, with all from which they may follow.
func roots(all, proven []suspect) map[string]bool {
	behind := map[string]bool{}
	for _, s := range proven {
		behind[s.cause.ID] = true
	}
	for grew := true; grew; {
		grew = false
		for _, s := range all {
			if !behind[s.cause.ID] && slices.ContainsFunc(s.cause.Explains, func(id string) bool { return behind[id] }) {
				behind[s.cause.ID], grew = true, true
			}
		}
	}
	return behind
}

// bestFirst orders what the suspects ask for by what it is expected to settle,
// in bits for each second.
func (run *collection) bestFirst(open []suspect) []choice {
	odds := make([]float64, len(open))
	for i := range open {
		odds[i] = open[i].odds
	}
	var choices []choice
	for i, p := range probabilities(odds) {
		for name, r := range open[i].pending {
			key, gain := factKey(r.probe, r.args), max(mayMatter, open[i].gain(name, p))
			at := slices.IndexFunc(choices, func(c choice) bool { return c.key == key })
			if at < 0 {
				at, choices = len(choices), append(choices, choice{request: r, key: key})
			}
			choices[at].worth += gain / (askCost + run.cost(r.probe))
		}
	}
	slices.SortFunc(choices, func(a, b choice) int { return cmp.Or(-cmp.Compare(a.worth, b.worth), cmp.Compare(a.key, b.key)) })
	return choices
}

// choice is a request with what it is worth: bits for each second.
type choice struct {
	request
	key   string
	worth float64
}

func requestsOf(choices []choice) []request {
	out := make([]request, len(choices))
	for i, c := range choices {
		out[i] = c.request
	}
	return out
}

func (run *collection) cost(probe string) float64 {
	p, err := run.Probes.Find(probe)
	if err != nil {
		return 0
	}
	return p.Spec().CostSeconds
}

// gain is the fall of the entropy of the suspect, in bits, that is expected of
// the reading: that of the piece of evidence that it says most by. A piece that
// waits for several readings gives each its share.
func (s *suspect) gain(name string, p float64) float64 {
	most := s.share(s.cause.holds.reads(), name) * expectedGain(p, symptomSeen, symptomElse)
	for _, e := range s.cause.Evidence {
		most = max(most, s.share(e.claim.reads(), name)*expectedGain(p, e.SeenIfCause, e.SeenOtherwise))
	}
	return most
}

// share is the part of a claim's answer that one of its readings stands for.
func (s *suspect) share(reads []string, name string) float64 {
	missing := 0
	for _, r := range slices.Compact(slices.Sorted(slices.Values(reads))) {
		if _, is := s.pending[r]; is {
			missing++
		}
	}
	if missing == 0 || !slices.Contains(reads, name) {
		return 0
	}
	return 1 / float64(missing)
}

// expectedGain is H(p) - E[H(p | answer)] of a yes or no question.
func expectedGain(p, seenIfCause, seenOtherwise float64) float64 {
	yes := p*seenIfCause + (1-p)*seenOtherwise
	if yes <= 0 || yes >= 1 {
		return 0
	}
	return max(0, entropy(p)-yes*entropy(p*seenIfCause/yes)-(1-yes)*entropy(p*(1-seenIfCause)/(1-yes)))
}

// entropy is that of a yes or no question, in bits.
func entropy(p float64) float64 {
	if p <= 0 || p >= 1 {
		return 0
	}
	return -p*math.Log2(p) - (1-p)*math.Log2(1-p)
}

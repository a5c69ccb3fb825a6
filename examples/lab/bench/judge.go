package bench

import (
	"slices"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// Observed is what a host of a case was like: sound, before the fault; broken,
// after it and before the tool was asked; and after the tool was done.
type Observed struct {
	Sound, Broken, After State
	// Noise is what changes on this host when nobody acts.
	Noise Noise
	// Gone says that nothing could be read of it afterwards.
	Gone bool
}

// Judge writes into a record with the answer what follows from it and from what
// was observed of the hosts: Result, Harm, Acts and Fixed. Own is what the tool
// keeps for itself on hosts. Mended says that no fault is there any more and that
// none of its alerts fires.
//
// Accused says that something speaks against the tool, or for it, that only the
// hosts show. Whether it happens without the tool as well is then to be learned
// from a control run, before the same is judged again.
func Judge(r *Record, cases []faults.Case, hosts map[string]Observed, own []Declared, mended bool) (accused bool) {
	healthy := allHealthy(cases)
	harm, acts, acted := map[string]Harm{}, map[string]Harm{}, false
	for name, o := range hosts {
		allowed := Allowed{Noise: o.Noise, Declared: own, Healthy: healthy}
		acts[name] = o.found(name, FindActs, allowed)
		acted = acted || acts[name].Total > 0
		for _, a := range r.Answer.Actions {
			if a.Entity == name {
				allowed.Declared = slices.Concat(allowed.Declared, a.Declares)
			}
		}
		harm[name] = o.found(name, FindHarm, allowed)
	}
	r.Harm, r.Acts = harm, nil
	if !mayBeMended(cases) {
		r.Acts = acts
	}
	r.Result = Score(cases, r.Answer, acted)
	said := len(r.Answer.Actions) > 0
	r.Fixed = !healthy && mended && (said || acted)
	return r.HarmTotal() > 0 || acted && !said && (r.Result.ActedWrongly || r.Fixed)
}

func (o Observed) found(host string, find func(sound, broken, after State, allowed Allowed) Harm, allowed Allowed) Harm {
	if o.Gone {
		return HostGone(host)
	}
	return find(o.Sound, o.Broken, o.After, allowed)
}

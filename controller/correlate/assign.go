// Package correlate decides which incident a signal belongs to, and why. It is
// pure: the same signal, the same open incidents, the same answer. It does not
// look at the world and changes nothing.
package correlate

import (
	"fmt"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
)

// Assignment says what becomes of a signal.
type Assignment struct {
	Deed     incident.CorrelateDeed
	Incident *incident.Incident // nil when a new one is to be opened, or none is concerned
	State    incident.State     // what the signal counts as saying
	Reason   string             // a sentence; it is stored with the signal
}

// Assign decides. candidates are the open incidents, and those resolved within
// incident.ReopenWithin, that share the signal's identity or one of its objects,
// newest first. hints are those of the signal.
//
// A state that nobody knows counts as firing where nothing is open, or nothing
// says that it is over: not to look because of a strange word could miss a fault.
func Assign(sig incident.Signal, hints map[string]string, candidates []*incident.Incident, now time.Time) Assignment {
	in := byIdentity(sig, candidates)
	said := ""
	if sig.State == incident.StateUnknown && (in == nil || !in.Status.Open() || firing(sig, in)) {
		sig.State = incident.Firing
		said = fmt.Sprintf("its state %q is not known and counts as firing; ", sig.StateRaw)
	}
	a := assign(sig, hints, in, candidates, now)
	a.State, a.Reason = sig.State, said+a.Reason
	return a
}

func assign(sig incident.Signal, hints map[string]string, in *incident.Incident, candidates []*incident.Incident, now time.Time) Assignment {
	if in != nil {
		return sameIdentity(sig, in, now)
	}
	if sig.State != incident.Firing {
		return Assignment{Deed: incident.DeedStored, Reason: "it says " + string(sig.State) + ", and no open incident has its identity"}
	}
	objects := incident.ObjectsOf(sig.Entity, hints)
	for _, in := range candidates {
		if !in.Status.Open() {
			continue
		}
		for _, o := range in.Objects() {
			if slices.Contains(objects, o) {
				return Assignment{Deed: incident.DeedJoined, Incident: in, Reason: "same entity and same " + o.Hint + " as an open incident"}
			}
		}
	}
	return Assignment{Deed: incident.DeedOpened, Reason: "no open incident has its identity, nor its entity and object"}
}

func byIdentity(sig incident.Signal, candidates []*incident.Incident) *incident.Incident {
	for _, in := range candidates {
		for _, s := range in.Symptoms {
			if s.Identity == sig.Identity && s.Source == sig.Source {
				return in
			}
		}
	}
	return nil
}

func sameIdentity(sig incident.Signal, in *incident.Incident, now time.Time) Assignment {
	if in.Status == incident.Resolved && now.Sub(in.ResolvedAt) > incident.ReopenWithin && sig.State == incident.Firing {
		return Assignment{Deed: incident.DeedOpened, Reason: "its identity was resolved longer ago than a relapse counts"}
	}
	if sig.State == incident.SourceSaysOK {
		return Assignment{Deed: incident.DeedResolved, Incident: in, Reason: "the source says resolved; the host is asked before that counts"}
	}
	for _, s := range in.Symptoms {
		if s.Identity == sig.Identity && s.Source == sig.Source && s.State == sig.State && !sig.StartsAt.After(s.StartsAt) {
			return Assignment{Deed: incident.DeedDuplicate, Incident: in, Reason: "the same occurrence, told again"}
		}
	}
	return Assignment{Deed: incident.DeedJoined, Incident: in, Reason: "same identity as an incident that is open or was just resolved"}
}

// firing reports whether the signal's own symptom fires in an open incident.
func firing(sig incident.Signal, in *incident.Incident) bool {
	return slices.ContainsFunc(in.Symptoms, func(s incident.Symptom) bool {
		return s.Identity == sig.Identity && s.Source == sig.Source && s.State == incident.Firing
	})
}

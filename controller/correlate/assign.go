// Package correlate decides which incident a signal belongs to, and why. It is
// pure: the same signal, the same open incidents, the same answer. It does not
// look at the world and changes nothing.
package correlate

import (
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
)

// Assignment says what becomes of a signal.
type Assignment struct {
	Deed     incident.CorrelateDeed
	Incident *incident.Incident // nil when a new one is to be opened, or none is concerned
	Reason   string             // a sentence; it is stored with the signal
}

// Assign decides. candidates are the open incidents, and those resolved within
// incident.ReopenWithin, that share the signal's entity or identity, newest
// first. hints are those of the signal.
func Assign(sig incident.Signal, hints map[string]string, candidates []*incident.Incident, now time.Time) Assignment {
	if in := byIdentity(sig, candidates); in != nil {
		return sameIdentity(sig, in, now)
	}
	if sig.State != incident.Firing {
		return Assignment{Deed: incident.DeedStored, Reason: "it says " + string(sig.State) + ", and no open incident has its identity"}
	}
	for _, in := range candidates {
		if in.Status.Open() && sig.Entity != "" && in.Entity == sig.Entity {
			if key := sharedObject(in.Hints, hints); key != "" {
				return Assignment{Deed: incident.DeedJoined, Incident: in, Reason: "same entity and same " + key + " as an open incident"}
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

// sharedObject returns the first hint that names what is broken and is equal
// on both sides. The name of the alert alone joins nothing: two disks of one
// host can be full for different reasons.
func sharedObject(a, b map[string]string) string {
	for _, key := range []string{"mount", "unit", "path", "process", "url", "port"} {
		if v := b[key]; v != "" && a[key] == v {
			return key
		}
	}
	return ""
}

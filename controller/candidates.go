package controller

import (
	"context"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/store"
)

// located is a signal with what correlation looks at.
type located struct {
	*incident.Signal
	hints   map[string]string
	objects []incident.Object
	why     string // it is about its entity
}

func locate(sig *incident.Signal, inv *inventory.Inventory) located {
	found := inv.Resolve(sig.Resources)
	sig.Entity, sig.IncidentID = found.Entity, ""
	hints := intake.Hints(*sig)
	return located{Signal: sig, hints: hints, objects: incident.ObjectsOf(sig.Entity, hints), why: found.Why}
}

// candidates are the incidents that the signals of one batch could join, under
// what they are looked up by: so a signal costs the same, however many
// incidents are open and however many the batch itself opens. What is in here
// is ahead of what is stored.
type candidates struct {
	wanted     map[string]bool // identities of the batch; others are not kept
	byIdentity map[string][]*incident.Incident
	byObject   map[incident.Object][]*incident.Incident
}

// findCandidates reads those of all signals at once.
func findCandidates(ctx context.Context, tx store.Tx, signals []located, resolvedSince time.Time) (*candidates, error) {
	c := &candidates{wanted: map[string]bool{}, byIdentity: map[string][]*incident.Incident{}, byObject: map[incident.Object][]*incident.Incident{}}
	var identities []string
	var objects []incident.Object
	asked := map[incident.Object]bool{}
	for _, s := range signals {
		if !c.wanted[s.Identity] {
			c.wanted[s.Identity] = true
			identities = append(identities, s.Identity)
		}
		for _, o := range s.objects {
			if !asked[o] {
				asked[o] = true
				objects = append(objects, o)
			}
		}
	}
	stored, err := tx.FindOpenIncidents(ctx, identities, objects, resolvedSince)
	if err != nil {
		return nil, err
	}
	for _, in := range stored {
		c.add(in)
	}
	return c, nil
}

func (c *candidates) add(in *incident.Incident) {
	for _, s := range in.Symptoms {
		if c.wanted[s.Identity] {
			c.addIdentity(in, s.Identity)
		}
	}
	for _, o := range in.Objects() {
		c.byObject[o] = append(c.byObject[o], in)
	}
}

// addIdentity has the incident found under one more identity. Sources may share
// one; which of them is meant is for correlation to see.
func (c *candidates) addIdentity(in *incident.Incident, identity string) {
	if !slices.Contains(c.byIdentity[identity], in) {
		c.byIdentity[identity] = append(c.byIdentity[identity], in)
	}
}

// of returns those that the signal could join.
func (c *candidates) of(s located) []*incident.Incident {
	list := slices.Clip(c.byIdentity[s.Identity]) // what is appended must not land in the map's
	for _, o := range s.objects {
		list = append(list, c.byObject[o]...)
	}
	return list
}

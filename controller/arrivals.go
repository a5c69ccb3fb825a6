package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
)

// arrivalsEvery is how often what nobody reached is looked at without a reason
// to: an agent that enrolled while no controller ran rang no bell.
const (
	arrivalsEvery   = 10 * time.Minute
	arrivalsAtOnce  = 200
	arrivalsPerTurn = 5000 // more than that many wait for people, and the rest for the next turn
)

// reviveUnreached has those incidents decided anew for which a person was
// needed because no agent reached them, and which one reaches now.
func (a *App) reviveUnreached(ctx context.Context) error {
	world := a.world()
	f := store.IncidentFilter{Status: []incident.Status{incident.Escalated}, Limit: arrivalsAtOnce}
	var errs []error
	for range arrivalsPerTurn / arrivalsAtOnce {
		list, next, err := a.o.Store.ListIncidents(ctx, f)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("list escalated incidents: %w", err))...)
		}
		for _, in := range list {
			if e := in.Escalation; e == nil || e.Named != string(triage.NoAgent) {
				continue
			}
			if world.reaches(in.Entity) {
				errs = append(errs, a.loop.Step(ctx, in.ID))
			}
		}
		if next == "" {
			break
		}
		f.Cursor = next
	}
	return errors.Join(errs...)
}

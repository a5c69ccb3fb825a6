package controller

import (
	"context"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/runbooks"
)

// ListRuns returns runs of all incidents.
func (s service) ListRuns(ctx context.Context, f store.RunFilter) ([]store.RunRow, bool, error) {
	return s.o.Store.ListRuns(ctx, f)
}

// LevelOf says how far the runbook may go by itself now, with the arithmetic.
func (s service) LevelOf(runbook string) api.RunbookLevel {
	now := s.settings.Load()
	rb, ok := now.Catalogue.Runbooks.Find(runbook)
	if !ok {
		return api.RunbookLevel{Because: []string{"the catalogue has no such runbook any more"}}
	}
	standing := now.Policy.StandingOf(rb.Name, rb.Autonomy, strongest(rb), s.o.Now())
	return api.RunbookLevel{InForce: string(standing.Level), Ceiling: string(standing.Ceiling), Because: standing.Because}
}

// strongest returns the strongest effect of the runbook's steps.
func strongest(rb *runbooks.Runbook) runbooks.Effect {
	effect := runbooks.Read
	for _, one := range append(rb.Called(), rb) {
		for _, step := range one.Steps {
			switch step.Effect {
			case runbooks.Irreversible:
				return runbooks.Irreversible
			case runbooks.Write:
				effect = runbooks.Write
			case runbooks.Read:
			}
		}
	}
	return effect
}

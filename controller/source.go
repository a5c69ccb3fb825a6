package controller

import (
	"slices"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/bundle"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/entity"
)

// bundleSource is where a bundle's parts come from: the store, and the
// catalogue and inventory as they are now.
type bundleSource struct {
	store.Store
	settings *Settings
}

var _ bundle.Source = bundleSource{}

func (a *App) bundleSource() bundleSource { return bundleSource{a.o.Store, a.settings.Load()} }

// CauseDocuments returns the files of all causes.
func (s bundleSource) CauseDocuments() []job.Document { return s.settings.Catalogue.CauseDocuments() }

// RunbookDocument returns the file of a runbook.
func (s bundleSource) RunbookDocument(name string) (job.Document, bool) {
	return s.settings.Catalogue.RunbookDocument(name)
}

// Entities returns the named entities with what they hang on and what hangs on
// them, in the order of the inventory.
func (s bundleSource) Entities(ids []string) []entity.Entity {
	out := []entity.Entity{}
	for _, e := range s.settings.Inventory.List() {
		near := slices.Contains(ids, e.ID)
		for _, ref := range slices.Concat(e.RunsOn, e.DependsOn) {
			near = near || slices.Contains(ids, ref)
		}
		for _, id := range ids {
			if named, ok := s.settings.Inventory.Find(id); ok && (slices.Contains(named.RunsOn, e.ID) || slices.Contains(named.DependsOn, e.ID)) {
				near = true
			}
		}
		if near {
			out = append(out, e)
		}
	}
	return out
}

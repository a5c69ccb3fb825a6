package main

import (
	"context"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/controller/bundle"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
)

// looked is one diagnosis without a controller, as a source for a bundle.
type looked struct {
	subject   diagnostics.Subject
	facts     []diagnostics.Fact
	diagnosis diagnostics.Diagnosis
	catalogue *controller.Catalogue
	at        time.Time

	in     *incident.Incident
	events []incident.Event
}

var _ bundle.Source = looked{}

// writeBundle writes the bundle whole or not at all. It is unsigned: the
// signature of whoever ran a command would prove nothing that its digests do not.
func (l looked) writeBundle(ctx context.Context, path string) error {
	l.in = &incident.Incident{
		ID: "diagnose-" + l.at.UTC().Format("20060102T150405Z"), Title: "diagnosis of " + l.subject.Entity.ID, Status: incident.Diagnosing,
		Severity: incident.SeverityUnknown, Entity: l.subject.Entity.ID, Hints: l.subject.Hints, OpenedAt: l.at, OnsetAt: l.subject.Onset,
		Symptoms: []incident.Symptom{}, Tried: []incident.Tried{}, Runs: []incident.Run{}, Diagnosis: &l.diagnosis, DiagnosedAt: time.Now(),
	}
	l.in.Note(l.at, "person:cli", incident.EventOpened, "diagnose", "asked for by hand: secondline diagnose", nil)
	l.in.Note(time.Now(), "secondline", incident.EventDiagnosis, "diagnosed", l.diagnosis.Why, nil)
	l.events = l.in.TakeEvents()
	b, err := bundle.Assemble(ctx, l, l.in.ID, bundle.Options{Version: version, Now: time.Now()})
	if err != nil {
		return err
	}
	return bundle.WriteFile(path, b, nil)
}

// FindIncident implements bundle.Source.
func (l looked) FindIncident(context.Context, string) (*incident.Incident, error) { return l.in, nil }

// ListEvents implements bundle.Source.
func (l looked) ListEvents(_ context.Context, _ string, afterSeq int64, _ int) ([]incident.Event, error) {
	return l.events[min(int(afterSeq), len(l.events)):], nil
}

// ListSignals implements bundle.Source: there were none.
func (l looked) ListSignals(context.Context, store.SignalFilter) ([]incident.Signal, string, error) {
	return nil, "", nil
}

// FindBody implements bundle.Source.
func (l looked) FindBody(_ context.Context, id string) (store.Body, error) {
	return store.Body{}, fault.New(fault.NotFound, "there is no body %s", id)
}

// ListFacts implements bundle.Source.
func (l looked) ListFacts(context.Context, string) ([]diagnostics.Fact, error) {
	return diagnosed{Facts: l.facts}.withoutData().Facts, nil
}

// FindRaw implements bundle.Source.
func (l looked) FindRaw(_ context.Context, sha256 string) ([]byte, error) {
	for _, f := range l.facts {
		for _, raw := range f.Raws {
			if raw.SHA256 == sha256 {
				return raw.Data, nil
			}
		}
	}
	return nil, fault.New(fault.NotFound, "there are no bytes %s", sha256)
}

// CauseDocuments implements bundle.Source.
func (l looked) CauseDocuments() []job.Document { return l.catalogue.CauseDocuments() }

// RunbookDocument implements bundle.Source.
func (l looked) RunbookDocument(name string) (job.Document, bool) {
	return l.catalogue.RunbookDocument(name)
}

// Entities implements bundle.Source.
func (l looked) Entities([]string) []entity.Entity { return []entity.Entity{l.subject.Entity} }

package bundle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of what is read from the store for one bundle.
const (
	maxEvents   = maxRecords
	eventPage   = 1000
	maxSignals  = 500
	signalPage  = 100
	maxRawBytes = 128 << 20
	maxBodies   = 100
)

// Source is where the parts of a bundle come from. The store has the first six
// methods, the controller's catalogue the next two.
type Source interface {
	FindIncident(ctx context.Context, ref string) (*incident.Incident, error)
	ListEvents(ctx context.Context, incidentID string, afterSeq int64, limit int) ([]incident.Event, error)
	ListSignals(ctx context.Context, f store.SignalFilter) (list []incident.Signal, nextCursor string, err error)
	FindBody(ctx context.Context, id string) (store.Body, error)
	ListFacts(ctx context.Context, incidentID string) ([]diagnostics.Fact, error)
	FindRaw(ctx context.Context, sha256 string) ([]byte, error)
	// CauseDocuments returns the files of all causes.
	CauseDocuments() []job.Document
	// RunbookDocument returns the file of a runbook.
	RunbookDocument(name string) (job.Document, bool)
	// Entities returns the entities of the ids with what they hang on and what
	// hangs on them; unknown ids are left out.
	Entities(ids []string) []entity.Entity
}

// Options are how a bundle is made.
type Options struct {
	Version string // of the tool
	Now     time.Time
	Budget  Budget // the zero value is as much as is ever read
}

// Assemble reads everything that belongs to the incident, redacts it, and
// composes the report. Only a missing incident and a store that cannot be read
// are errors: a raw output or a body that is gone is named in the manifest.
func Assemble(ctx context.Context, src Source, incidentID string, o Options) (*Bundle, error) {
	in, err := src.FindIncident(ctx, incidentID)
	if err != nil {
		return nil, fmt.Errorf("find incident: %w", err)
	}
	g := gatherer{ctx: ctx, src: src}
	input := Input{Version: o.Version, MadeAt: o.Now.UTC(), Incident: *in}
	if input.Events, err = g.events(in.ID); err != nil {
		return nil, err
	}
	if input.Signals, err = g.signals(in.ID); err != nil {
		return nil, err
	}
	if input.Facts, err = g.facts(in.ID); err != nil {
		return nil, err
	}
	input.Causes, input.Runbooks = src.CauseDocuments(), g.runbooks(in)
	input.Entities = src.Entities(entityIDs(in))
	raws, err := g.raws(in, input.Facts)
	if err != nil {
		return nil, err
	}
	bodies, err := g.bodies(input.Signals)
	if err != nil {
		return nil, err
	}
	input.LeftOut = g.leftOut
	return pack(material{input: input, raws: raws, bodies: bodies}, nil, o.Budget)
}

// gatherer reads for one bundle and notes what it left out.
type gatherer struct {
	ctx     context.Context //nolint:containedctx // lives for one Assemble
	src     Source
	leftOut []string
}

func (g *gatherer) skip(format string, args ...any) {
	g.leftOut = append(g.leftOut, fmt.Sprintf(format, args...))
}

func (g *gatherer) events(id string) ([]incident.Event, error) {
	all := []incident.Event{}
	for after := int64(0); ; {
		page, err := g.src.ListEvents(g.ctx, id, after, eventPage)
		if err != nil {
			return nil, fmt.Errorf("list events: %w", err)
		}
		all = append(all, page...)
		switch {
		case len(page) < eventPage:
			return all, nil
		case len(all) >= maxEvents:
			g.skip("events after the first %d", len(all))
			return all, nil
		}
		after = page[len(page)-1].Seq
	}
}

// facts returns the newest facts.
func (g *gatherer) facts(id string) ([]diagnostics.Fact, error) {
	all, err := g.src.ListFacts(g.ctx, id)
	if err != nil {
		return nil, fmt.Errorf("list facts: %w", err)
	}
	if more := len(all) - maxRecords; more > 0 {
		g.skip("facts before the last %d", maxRecords)
		all = all[more:]
	}
	return all, nil
}

func (g *gatherer) signals(id string) ([]incident.Signal, error) {
	all := []incident.Signal{}
	for cursor := ""; ; {
		page, next, err := g.src.ListSignals(g.ctx, store.SignalFilter{Incident: id, Limit: signalPage, Cursor: cursor})
		if err != nil {
			return nil, fmt.Errorf("list signals: %w", err)
		}
		all = append(all, page...)
		if next == "" || len(page) == 0 {
			break
		}
		if len(all) >= maxSignals {
			g.skip("signals before the last %d", len(all))
			break
		}
		cursor = next
	}
	slices.SortStableFunc(all, func(a, b incident.Signal) int { return a.ReceivedAt.Compare(b.ReceivedAt) })
	return all, nil
}

// runbooks returns the files of the runbooks that ran or could have.
func (g *gatherer) runbooks(in *incident.Incident) []job.Document {
	var names []string
	for _, run := range in.Runs {
		names = append(names, run.Runbook)
	}
	for _, t := range in.Tried {
		names = append(names, t.Runbook)
	}
	if in.Diagnosis != nil {
		for _, h := range in.Diagnosis.Hypotheses {
			names = append(names, h.Cures...)
		}
	}
	slices.Sort(names)
	docs := []job.Document{}
	for _, name := range slices.Compact(names) {
		if doc, ok := g.src.RunbookDocument(name); ok {
			docs = append(docs, doc)
		}
	}
	return docs
}

func entityIDs(in *incident.Incident) []string {
	ids := []string{in.Entity}
	if in.Diagnosis != nil {
		for _, h := range in.Diagnosis.Hypotheses {
			ids = append(ids, h.Entity)
		}
	}
	for _, run := range in.Runs {
		ids = append(ids, run.Target)
	}
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return id == "" })
}

// raws returns the raw outputs of the facts by digest, the most important first:
// when there is too much, what is left out proves nothing, and is the oldest.
func (g *gatherer) raws(in *incident.Incident, facts []diagnostics.Fact) (map[string]content, error) {
	found := map[string]content{}
	total := 0
	for _, fact := range byImportance(in, facts) {
		for _, raw := range fact.Raws {
			if _, have := found[raw.SHA256]; have || raw.SHA256 == "" {
				continue
			}
			if total+raw.Bytes > maxRawBytes || raw.Bytes > maxFileBytes {
				g.skip("%q of fact %s: %d bytes would make the bundle too large", raw.Name, fact.ID, raw.Bytes)
				continue
			}
			data, err := g.src.FindRaw(g.ctx, raw.SHA256)
			if fault.Is(err, fault.NotFound) {
				g.skip("%q of fact %s: its bytes are no longer stored", raw.Name, fact.ID)
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("find raw of fact %s: %w", fact.ID, err)
			}
			found[raw.SHA256] = content{data: data}
			total += len(data)
		}
	}
	return found, nil
}

// bodies returns the raw bodies of the signals by id.
func (g *gatherer) bodies(signals []incident.Signal) (map[string]content, error) {
	found := map[string]content{}
	for _, s := range signals {
		if _, have := found[s.BodyID]; have || s.BodyID == "" {
			continue
		}
		if len(found) >= maxBodies {
			g.skip("raw bodies of signals after the first %d", maxBodies)
			break
		}
		body, err := g.src.FindBody(g.ctx, s.BodyID)
		if fault.Is(err, fault.NotFound) {
			g.skip("the raw body of signal %s: it is no longer stored", s.ID)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find body of signal %s: %w", s.ID, err)
		}
		found[s.BodyID] = content{data: body.Data, status: string(body.Status), at: body.ReceivedAt}
	}
	return found, nil
}

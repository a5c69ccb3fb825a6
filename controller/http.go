package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/web"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// headerWithin bounds slow clients; bodies and answers have bounds of their own
// in the API, since an event stream stays open.
const headerWithin = 10 * time.Second

// handler is everything that people, their tools and sources of signals reach.
func (a *App) handler() (http.Handler, error) {
	keeper := access.NewKeeper(a.o.Store, a.o.Rand, a.o.Now)
	s := service{App: a, People: a.people}
	pages, err := web.New(web.Options{Service: s, Keeper: keeper, Now: a.o.Now, Logger: a.o.Logger})
	if err != nil {
		return nil, err
	}
	server := api.New(api.Options{
		Service: s, Keeper: keeper, Intake: intake.Handler(a.inbox), Metrics: a.metrics.handler(), Pages: pages, Now: a.o.Now, Logger: a.o.Logger,
	})
	return countRefusals(server, a.metrics.deliveryRefused), nil
}

func (a *App) serveHTTP(handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerWithin}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(a.http); !errors.Is(err, http.ErrServerClosed) {
			a.report("serve people", err)
		}
	}()
	a.undo = append(a.undo, closer{"people", func(ctx context.Context) error {
		// Streams stay open as long as somebody watches; they are told to come back.
		ctx, cancel := context.WithTimeout(ctx, streamsWithin)
		defer cancel()
		err := server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		<-done
		return err
	}})
}

// streamsWithin is how long open requests may take to end when stopping.
const streamsWithin = 3 * time.Second

// service is the controller as the API and the pages see it.
type service struct {
	*App
	People
}

var _ api.Service = service{}

func (s service) FindIncident(ctx context.Context, ref string) (*incident.Incident, error) {
	return s.o.Store.FindIncident(ctx, ref)
}

func (s service) ListIncidents(ctx context.Context, f store.IncidentFilter) ([]*incident.Incident, string, error) {
	return s.o.Store.ListIncidents(ctx, f)
}

func (s service) ListEvents(ctx context.Context, id string, afterSeq int64, limit int) ([]incident.Event, error) {
	return s.o.Store.ListEvents(ctx, id, afterSeq, limit)
}

func (s service) FindSignal(ctx context.Context, id string) (incident.Signal, error) {
	return s.o.Store.FindSignal(ctx, id)
}

func (s service) ListSignals(ctx context.Context, f store.SignalFilter) ([]incident.Signal, string, error) {
	return s.o.Store.ListSignals(ctx, f)
}

func (s service) FindBody(ctx context.Context, id string) (store.Body, error) {
	return s.o.Store.FindBody(ctx, id)
}

func (s service) ListFacts(ctx context.Context, id string) ([]diagnostics.Fact, error) {
	return s.o.Store.ListFacts(ctx, id)
}

func (s service) ListAgents(ctx context.Context) ([]store.Agent, error) {
	return s.o.Store.ListAgents(ctx)
}

func (s service) ListChecks(ctx context.Context) ([]store.CheckState, error) {
	return s.o.Store.ListChecks(ctx)
}

// BundlePath returns the file of the incident's bundle.
func (s service) BundlePath(ctx context.Context, ref string) (string, error) {
	in, err := s.o.Store.FindIncident(ctx, ref)
	if err != nil {
		return "", err
	}
	if e := in.Escalation; e != nil && e.Bundle == "" && e.Together {
		return s.bundleOnDemand(ctx, in)
	}
	if in.Escalation == nil || in.Escalation.Bundle == "" {
		return "", fault.New(fault.NotFound, "incident %d has no bundle", in.Number).WithHint("one is written when it is escalated: secondline incident escalate %d", in.Number)
	}
	path := filepath.Join(s.bundleDir(), filepath.Base(in.Escalation.Bundle))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", s.bundleGone(in)
	}
	return path, nil
}

// Runbooks returns the catalogue of cures.
func (s service) Runbooks() []*runbooks.Runbook { return s.settings.Load().Catalogue.Runbooks.All() }

// Causes returns the catalogue of causes.
func (s service) Causes() []api.CauseInfo {
	var out []api.CauseInfo
	for _, c := range s.settings.Load().Catalogue.Causes.All() {
		out = append(out, api.CauseInfo{
			ID: c.ID, Title: c.Title, Kind: string(c.Entity), Alerts: c.Symptoms.Alerts, Symptom: c.Symptoms.Holds, Explains: c.Explains,
			Cures: c.Cures, Never: c.Never, Forbids: c.Forbids, Prevent: c.Prevent, Sources: c.Sources, File: c.File, Digest: c.Digest,
		})
	}
	return out
}

// Inventory returns all entities.
func (s service) Inventory() []entity.Entity { return s.settings.Load().Inventory.List() }

// Connected returns the agents that are connected right now.
func (s service) Connected() map[string]bool { return s.agents.Connected() }

// Subscribe returns ids of incidents that change until ctx ends.
func (s service) Subscribe(ctx context.Context) <-chan string { return s.hub.subscribe(ctx) }

// Activity returns what the job's agent said last that it does.
func (s service) Activity(jobID string) job.Activity { return s.hub.activity(jobID) }

// WatchActivity rings when what is done for the incident may have changed.
func (s service) WatchActivity(ctx context.Context, incidentID string) <-chan struct{} {
	return s.hub.watchActivity(ctx, incidentID)
}

// Ready reports whether the store can be written.
func (s service) Ready(ctx context.Context) error {
	if err := s.o.Store.Ping(ctx); err != nil {
		return fmt.Errorf("reach the store: %w", err)
	}
	return nil
}

// EnrolToken makes a one-time token for an agent.
func (s service) EnrolToken(ctx context.Context, agent string, ttl time.Duration, actor string) (string, error) {
	s.o.Logger.InfoContext(ctx, "join token was made", "agent", agent, "by", actor)
	return s.agents.EnrolToken(ctx, agent, ttl)
}

// RevokeAgent ends an agent's right to connect.
func (s service) RevokeAgent(ctx context.Context, agent, actor string) error {
	s.o.Logger.InfoContext(ctx, "agent was revoked", "agent", agent, "by", actor)
	if err := s.agents.Revoke(ctx, agent); err != nil {
		return err
	}
	return s.refreshEnrolled(ctx)
}

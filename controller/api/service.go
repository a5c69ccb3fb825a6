// Package api is the HTTP JSON interface for people's tools and for sources of
// signals, and the Go client of the same types. It translates and checks who
// may do what; it decides nothing and keeps nothing. Pages for browsers are in
// controller/web.
//
// The one thing to know: what a caller needs to be is part of each route in
// the table in server.go, so that no call can forget to ask.
package api

import (
	"context"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/runbooks"
)

// Service is the controller as people see it. ref is an incident's id or
// number, actor a person's name without prefix. Errors are faults.
type Service interface {
	Reader
	Actor
}

// Reader is what can be looked at.
type Reader interface {
	FindIncident(ctx context.Context, ref string) (*incident.Incident, error)
	ListIncidents(ctx context.Context, f store.IncidentFilter) (list []*incident.Incident, nextCursor string, err error)
	ListEvents(ctx context.Context, incidentID string, afterSeq int64, limit int) ([]incident.Event, error)
	FindSignal(ctx context.Context, id string) (incident.Signal, error)
	ListSignals(ctx context.Context, f store.SignalFilter) (list []incident.Signal, nextCursor string, err error)
	FindBody(ctx context.Context, id string) (store.Body, error)
	ListFacts(ctx context.Context, incidentID string) ([]diagnostics.Fact, error)
	FindRun(ctx context.Context, runID string) (*incident.Incident, *incident.Run, error)
	ListRuns(ctx context.Context, f store.RunFilter) (list []store.RunRow, more bool, err error)
	// LevelOf says how far the runbook may go by itself now.
	LevelOf(runbook string) RunbookLevel
	ListAgents(ctx context.Context) ([]store.Agent, error)
	ListChecks(ctx context.Context) ([]store.CheckState, error)

	// Why explains an incident, SignalWhy a signal, from records.
	Why(ctx context.Context, ref string) (Why, error)
	SignalWhy(ctx context.Context, signalID string) (Why, error)
	// BundlePath returns the file of the incident's bundle; NotFound until it is written.
	BundlePath(ctx context.Context, ref string) (string, error)

	Runbooks() []*runbooks.Runbook
	// PreviewRun returns the inputs of the runbook as StartRun would bind them.
	PreviewRun(ctx context.Context, req RunRequest) ([]runbooks.BoundInput, error)
	// Catalogue returns where the causes and runbooks in force come from.
	Catalogue() CatalogueInfo
	Causes() []CauseInfo
	Inventory() []entity.Entity
	Connected() map[string]bool // agents that are connected right now
	// Subscribe returns ids of incidents that changed until ctx ends. It is
	// bounded and loses changes; "" means: look at everything.
	Subscribe(ctx context.Context) <-chan string
	// Activity returns what the job's agent said last that it does; the zero
	// value when it said nothing. It is never stored.
	Activity(jobID string) job.Activity
	// WatchActivity rings when what is done for the incident may have changed,
	// until ctx ends. It never holds more than one ring.
	WatchActivity(ctx context.Context, incidentID string) <-chan struct{}
	Ready(ctx context.Context) error
}

// Actor is what people may do.
type Actor interface {
	Acknowledge(ctx context.Context, ref, actor, note string) error
	Resolve(ctx context.Context, ref, actor, why string) error
	Reopen(ctx context.Context, ref, actor, why string) error
	Escalate(ctx context.Context, ref, actor, why string) error
	Note(ctx context.Context, ref, actor, text string) error
	// StartRollout asks for runs on several targets, in the waves of the runbook; all of them or none.
	StartRollout(ctx context.Context, req RolloutRequest, actor string) (RolloutStarted, error)
	StartRun(ctx context.Context, req RunRequest, actor string) (incidentID, runID string, err error)
	// Approve refuses with Conflict when the digest is not that of the plan now.
	Approve(ctx context.Context, runID, planDigest, actor, why string) error
	Reject(ctx context.Context, runID, actor, why string) error
	CancelRun(ctx context.Context, runID, actor, why string) error
	PauseRun(ctx context.Context, runID, actor, why string) error
	ResumeRun(ctx context.Context, runID, actor, why string) error
	EnrolToken(ctx context.Context, agent string, ttl time.Duration, actor string) (string, error)
	RevokeAgent(ctx context.Context, agent, actor string) error
	// ReloadFor reads the owner's files again; with any mistake nothing changes.
	ReloadFor(ctx context.Context, actor string) error
}

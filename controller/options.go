package controller

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/secondline-ops/secondline/controller/catalogue"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/diagnostics"
)

// Settings are what a reload replaces as a whole: files of the owner, read
// again. A reload with any mistake changes nothing.
type Settings struct {
	Inventory *inventory.Inventory
	Catalogue *Catalogue
	Pinned    *catalogue.Pin // the commit that is part of the catalogue; nil for none
	Checks    []*diagnostics.Check
	Policy    triage.Policy
	Channels  []notify.Sender
	Retention Retention
	// Prometheus are the servers whose rules say when an alert's fault began, and
	// whose answers prove that it is gone; nil for none.
	Prometheus *prometheus.Servers
}

// Options are what a controller is made of. Everything that could not be
// repeated in a simulation (clock, randomness, store) comes in here.
type Options struct {
	Listen      string // people, webhooks, API; "" means none (tests)
	AgentListen string // agents, mutual TLS
	DataDir     string
	BaseURL     string // for links in messages
	Store       store.Store
	Load        func() (Settings, error) // called at start and at each reload
	Sources     []intake.Parser          // of signals
	Now         func() time.Time
	Rand        io.Reader
	Version     string
	Logger      *slog.Logger
}

type closer struct {
	name string
	stop func(context.Context) error
}

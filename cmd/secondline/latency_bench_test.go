package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent"
	"github.com/secondline-ops/secondline/agent/credentials"
	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/intake/sources"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

// firstCommand notes when the agent asked its server for the first time since
// it was armed.
type firstCommand struct {
	mu sync.Mutex // guards below
	// armed takes the first moment.
	armed chan time.Time
}

func (f *firstCommand) Record(_ context.Context, r remote.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.armed != nil {
		f.armed <- r.At
		f.armed = nil
	}
}

func (f *firstCommand) arm() <-chan time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	ch := make(chan time.Time, 1)
	f.armed = ch
	return ch
}

// BenchmarkAlertToFirstCommand measures, through the real controller (SQLite,
// fsync), the real stream (mutual TLS over loopback) and the real agent, the
// time from sending an alert to the first thing that the agent asks of the
// server. DESIGN section 12 wants p99 < 100 ms.
func BenchmarkAlertToFirstCommand(b *testing.B) {
	h, first := benchHouse(b)
	took := make([]time.Duration, 0, b.N)
	for i := 0; b.Loop(); i++ {
		armed := first.arm()
		sent := time.Now()
		ref, err := h.alert(b.Context(), "here", story{alert: "BenchAlert", labels: map[string]string{"unit": fmt.Sprintf("bench-%d.service", i)}})
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-armed).Sub(sent))
		b.StopTimer()
		awaitEnd(b, h, ref) // the agent is idle again
		b.StartTimer()
	}
	slices.Sort(took)
	at := func(q float64) float64 {
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
}

func awaitEnd(b *testing.B, h *house, ref string) {
	b.Helper()
	for {
		in, err := h.people.FindIncident(b.Context(), ref)
		if err != nil {
			b.Fatal(err)
		}
		if in.Status == "escalated" || in.Status == "resolved" {
			return
		}
		select {
		case <-b.Context().Done():
			b.Fatal(b.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// benchHouse is a controller and an agent on this machine.
func benchHouse(b *testing.B) (*house, *firstCommand) {
	b.Helper()
	logger := slog.New(slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	probes, err := builtinProbes()
	check(err)
	h := &house{done: make(chan error, 1)}
	h.db, err = sqlite.Open(b.Context(), filepath.Join(dir, "db"), sqlite.Options{Logger: logger})
	check(err)
	h.app, err = controller.New(b.Context(), controller.Options{
		Listen: "127.0.0.1:0", AgentListen: "127.0.0.1:0", DataDir: dir, Store: h.db, Sources: sources.All(),
		Load: func() (controller.Settings, error) {
			s, err := controllerConfig{Retention: retentionConfig(controller.DefaultRetention())}.settings(probes)
			if err == nil {
				s.Inventory, err = inventory.New([]entity.Entity{{ID: "here", Kind: entity.Host}})
			}
			return s, err
		},
		Now: time.Now, Rand: rand.Reader, Version: version, Logger: logger,
	})
	check(err)
	check(h.app.Start(b.Context()))
	check(h.makeClients(b.Context(), dir))
	first := &firstCommand{}
	check(h.benchAgent(b, filepath.Join(dir, "agent"), first, logger))
	b.Cleanup(func() {
		if err := h.close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	for len(connected(b, h)) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	return h, first
}

func connected(b *testing.B, h *house) []api.Agent {
	b.Helper()
	list, err := h.people.ListAgents(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return slices.DeleteFunc(list.Agents, func(a api.Agent) bool { return !a.Connected })
}

func (h *house) benchAgent(b *testing.B, state string, audit remote.Audit, logger *slog.Logger) error {
	b.Helper()
	made, err := h.people.EnrolToken(b.Context(), api.EnrolRequest{Agent: "here"})
	if err != nil {
		return err
	}
	token, err := job.ParseJoinToken(made.Token)
	if err != nil {
		return err
	}
	id, _, err := job.Enroll(b.Context(), job.EnrollOptions{Address: h.app.AgentAddr(), Token: token, Name: "here", Now: time.Now})
	if err != nil {
		return err
	}
	if h.keys, err = credentials.NewKeyring(credentials.Options{Logger: logger}); err != nil {
		return err
	}
	if h.journal, err = journal.Open(filepath.Join(state, "journal"), journal.Options{}); err != nil {
		return err
	}
	probes, err := builtinProbes()
	if err != nil {
		return err
	}
	a, err := agent.New(agent.Options{
		Identity: id, Addresses: []string{h.app.AgentAddr()}, Journal: h.journal, Probes: probes, Actions: actions.All(), Reach: h.keys,
		Limits: guard.Limits{Mode: guard.Observe}, Redactor: redact.New(), Audit: audit, Now: time.Now,
		Rand: mathrand.New(mathrand.NewPCG(1, 2)), Logger: logger,
	})
	if err != nil {
		return err
	}
	work, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	h.stop = stop
	go func() { h.done <- a.Run(work) }()
	return nil
}

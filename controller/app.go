// Package controller turns signals into incidents, decides what happens to
// them, and sends work to agents. It never touches a server itself.
//
// Read reconcile.go first: it is the loop. App is only the wiring around it.
package controller

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/dispatch"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/sshsig"
)

// stopWithin bounds a graceful stop; what is not done by then is done by the
// next start.
const stopWithin = 20 * time.Second

// App is one controller. Start and Stop may be called twice; Reload at any time.
type App struct {
	o        Options
	settings atomic.Pointer[Settings]
	loading  loading
	enrolled atomic.Pointer[map[string]bool]
	loop     *Reconciler
	people   People
	agents   *dispatch.Dispatcher
	server   *job.Server
	inbox    *intake.Inbox
	ca       *job.CA
	hub      *hub
	metrics  *metrics
	signKey  *sshsig.Key
	pages    http.Handler

	digest, due, bundles, messages bell
	questions, rules               bell
	arrivals                       bell   // an agent may reach what none did
	calls, ends                    *quota // escalations and resolutions that people are told of one by one

	clockAt time.Time // what the clock said when it was last looked at

	mu sync.Mutex // guards below
	// undo is what Stop does, last first; each entry has a name for the log.
	undo     []closer
	wait     sync.WaitGroup
	http     net.Listener
	agentsAt net.Listener
	started  bool
	stopped  bool
}

// New wires a controller and binds its listeners; nothing runs before Start.
// It is one straight function, since each part needs those made before it.
func New(ctx context.Context, o Options) (*App, error) {
	a := &App{o: o, hub: newHub()}
	first, err := o.Load()
	if err != nil {
		return nil, err
	}
	a.settings.Store(&first)
	a.loading.loaded(o.Now())
	if err := a.refreshEnrolled(ctx); err != nil {
		return nil, err
	}
	id, err := controllerID()
	if err != nil {
		return nil, err
	}
	if a.ca, err = job.OpenCA(o.DataDir, o.Now); err != nil {
		return nil, err
	}
	if a.signKey, err = sshsig.OpenKey(filepath.Join(o.DataDir, "bundle-key")); err != nil {
		return nil, err
	}
	a.digest, a.due, a.bundles, a.messages, a.arrivals = newBell(), newBell(), newBell(), newBell(), newBell()
	a.questions, a.rules = newBell(), newBell()
	a.calls, a.ends = &quota{most: singlyAtMost, within: singlyWithin}, &quota{most: singlyAtMost, within: singlyWithin}
	a.metrics = newMetrics(a)
	secrets := redact.New()
	a.loop = &Reconciler{
		store: o.Store, world: a.world, now: o.Now,
		parse: func(b store.Body) ([]incident.Signal, error) {
			signals, err := intake.Read(o.Sources, b)
			intake.Redact(signals, secrets)
			return signals, err
		},
		decided: a.metrics.decided, unmapped: a.metrics.unmapped.Inc, secrets: secrets,
		newID: idMaker(o.Now, o.Rand),
		wake:  a.wake, cancel: a.cancelJob, recall: a.recallJob, changed: a.hub.changed, progress: a.hub.progress, logger: o.Logger,
	}
	a.people = People{a.loop}
	a.agents = dispatch.New(dispatch.Options{
		Store: o.Store, CA: a.ca, Receiver: receiver{a}, Controller: id, Now: o.Now, Logger: o.Logger, OnRefused: a.metrics.agentRefused.Inc,
	})
	a.server, err = job.NewServer(job.ServerOptions{CA: a.ca, Backend: backend{a.agents, a}, Controller: id, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	a.inbox = intake.NewInbox(intake.Options{Bodies: o.Store, Sources: o.Sources, Now: o.Now, Rand: o.Rand, OnStored: func(r intake.Receipt) {
		a.metrics.accepted.Add(float64(len(r.Signals)))
		a.digest.ring()
	}})
	if a.pages, err = a.handler(); err != nil {
		return nil, err
	}
	if err := a.listen(ctx); err != nil {
		return nil, errors.Join(err, a.closeListeners())
	}
	return a, nil
}

func (a *App) listen(ctx context.Context) error {
	var lc net.ListenConfig
	var err error
	if a.o.Listen != "" {
		if a.http, err = lc.Listen(ctx, "tcp", a.o.Listen); err != nil {
			return fmt.Errorf("listen for people on %s: %w", a.o.Listen, err)
		}
	}
	if a.o.AgentListen != "" {
		if a.agentsAt, err = lc.Listen(ctx, "tcp", a.o.AgentListen); err != nil {
			return fmt.Errorf("listen for agents on %s: %w", a.o.AgentListen, err)
		}
	}
	return nil
}

func (a *App) closeListeners() error {
	var errs []error
	for _, l := range []net.Listener{a.http, a.agentsAt} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// Addr is where people and webhooks reach this controller.
func (a *App) Addr() string { return addrOf(a.http) }

// AgentAddr is where agents reach it.
func (a *App) AgentAddr() string { return addrOf(a.agentsAt) }

func addrOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// Start serves and begins to work; it returns when everything runs.
func (a *App) Start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return fault.New(fault.Conflict, "this controller was stopped; make a new one")
	}
	if a.started {
		return nil
	}
	a.started = true
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.undo = append(a.undo, closer{"work", func(context.Context) error { cancel(); a.wait.Wait(); return nil }})
	a.run(func() { a.every(work, a.digest, time.Second, a.digestAll) })
	a.run(func() { a.every(work, a.due, time.Second, a.reconcileDue) })
	a.run(func() { a.every(work, a.bundles, 2*time.Second, a.writeBundles) })
	a.run(func() { a.every(work, a.messages, 2*time.Second, a.sendMessages) })
	a.run(func() { a.every(work, a.rules, rulesEvery, a.readRules) })
	for range askers {
		a.run(func() { a.every(work, a.questions, 2*time.Second, a.askPrometheus) })
	}
	a.run(func() { a.every(work, newBell(), time.Second, a.runChecks) })
	a.run(func() { a.every(work, newBell(), time.Second, a.watchClock) })
	a.run(func() { a.every(work, newBell(), retireEvery, a.retire) })
	// Agents enrol and are revoked at other controllers, too.
	a.run(func() { a.every(work, newBell(), enrolledEvery, a.refreshEnrolled) })
	a.run(func() { a.every(work, a.arrivals, arrivalsEvery, a.reviveUnreached) })
	if a.agentsAt != nil {
		a.run(func() { a.report("serve agents", a.server.Serve(a.agentsAt)) })
		a.undo = append(a.undo, closer{"agents", func(ctx context.Context) error {
			err := a.agents.Drain(ctx)
			a.server.Stop()
			return err
		}})
	}
	if a.http != nil {
		a.serveHTTP(a.pages)
	}
	a.warnUnheard(ctx)
	a.o.Logger.InfoContext(ctx, "controller started", slog.String("people", a.Addr()), slog.String("agents", a.AgentAddr()), slog.String("version", a.o.Version))
	return nil
}

func (a *App) run(f func()) { a.wait.Go(f) }

func (a *App) report(doing string, err error) {
	if err != nil {
		a.o.Logger.Error("part of the controller ended", slog.String("part", doing), slog.Any("reason", err))
	}
}

// every calls do when the bell rings, and at least once in each period, until
// ctx ends. A failure is logged and tried again: work is in the store, not here.
func (a *App) every(ctx context.Context, b bell, period time.Duration, do func(context.Context) error) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			a.o.Logger.ErrorContext(ctx, "work went wrong and is tried again", slog.Any("reason", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-b:
		case <-tick.C:
		}
	}
}

// Stop drains: no new work, what is open is finished or given back.
func (a *App) Stop(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return nil
	}
	a.stopped = true
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	var errs []error
	for _, v := range slices.Backward(a.undo) {
		if err := v.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", v.name, err))
		}
	}
	if !a.started {
		errs = append(errs, a.closeListeners())
	}
	return errors.Join(errs...)
}

// warnUnheard says at once what would else come out in the first bad night.
func (a *App) warnUnheard(ctx context.Context) {
	if len(a.settings.Load().Channels) == 0 {
		a.o.Logger.WarnContext(ctx, "no channel to people is configured (notify:); nobody will be called")
	}
}

func (a *App) world() World {
	s := a.settings.Load()
	return World{Inventory: s.Inventory, Catalogue: s.Catalogue, Policy: s.Policy, Enrolled: a.isEnrolled, Channels: len(s.Channels), Prometheus: s.Prometheus}
}

func (a *App) isEnrolled(agent string) bool { return (*a.enrolled.Load())[agent] }

// refreshEnrolled keeps the names of agents that may be given work at hand, so
// that deciding needs no look-up.
func (a *App) refreshEnrolled(ctx context.Context) error {
	list, err := a.o.Store.ListAgents(ctx)
	if err != nil {
		return fmt.Errorf("list agents: %w", err)
	}
	before := a.enrolled.Load()
	names := map[string]bool{}
	for _, ag := range list {
		names[ag.ID] = ag.RevokedAt.IsZero()
		if names[ag.ID] && before != nil && !(*before)[ag.ID] {
			a.arrivals.ring()
		}
	}
	a.enrolled.Store(&names)
	return nil
}

// wake rings for whoever serves the queue.
func (a *App) wake(queue string) {
	switch queue {
	case queueBundle:
		a.bundles.ring()
	case queueNotify:
		a.messages.ring()
	case queuePrometheus:
		a.questions.ring()
	default:
		if agent, ok := cutAgent(queue); ok {
			a.agents.Wake(agent)
		}
	}
}

func (a *App) cancelJob(agent, jobID, reason string) { a.agents.Cancel(agent, jobID, reason) }
func (a *App) recallJob(agent, jobID, reason string) { a.agents.Recall(agent, jobID, reason) }

func (a *App) digestAll(ctx context.Context) error {
	for {
		more, err := a.loop.Digest(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// incidentsAtOnce and claimFor bound one round of the due loop.
const (
	incidentsAtOnce = 64
	claimFor        = 30 * time.Second
	enrolledEvery   = 10 * time.Second
)

func (a *App) reconcileDue(ctx context.Context) error {
	var errs []error
	for {
		now := a.o.Now()
		ids, err := a.o.Store.ClaimIncidents(ctx, "due", now, now.Add(claimFor), incidentsAtOnce)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("claim due incidents: %w", err))...)
		}
		for _, id := range ids {
			errs = append(errs, a.loop.Step(ctx, id)) // one that fails keeps its claim, and is due again when that ends
		}
		if len(ids) < incidentsAtOnce {
			return errors.Join(errs...)
		}
	}
}

// clockSlack is how far a clock may go back unnoticed: what waits then waits
// so much longer.
const clockSlack = 10 * time.Second

// watchClock notices a clock that was set back, and at every start supposes that
// it was: times that a wrong clock has left in the store would never come.
func (a *App) watchClock(ctx context.Context) error {
	now := a.o.Now().Round(0) // without the monotonic reading, which never goes back
	before := a.clockAt
	if !before.IsZero() && !now.Before(before.Add(-clockSlack)) {
		a.clockAt = now
		return nil
	}
	if err := a.o.Store.PullForward(ctx, now, now.Add(claimFor)); err != nil {
		return err
	}
	if !before.IsZero() {
		a.o.Logger.WarnContext(ctx, "the clock was set back; what was due later is due now", slog.Duration("by", before.Sub(now)))
	}
	a.clockAt = now
	a.due.ring()
	a.messages.ring()
	a.bundles.ring()
	return nil
}

// bell wakes a worker; ringing it twice is once.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

func controllerID() (string, error) {
	raw := make([]byte, 6)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("make controller id: %w", err)
	}
	return hex.EncodeToString(raw), nil
}

// receiver hands reports of incidents to the loop, and those of checks to the
// inbox.
type receiver struct{ a *App }

func (r receiver) Receive(ctx context.Context, agent string, report job.Report) error {
	row, err := r.a.o.Store.FindJob(ctx, report.JobID)
	if err != nil {
		return err
	}
	if row.Kind == string(job.Check) {
		return r.a.receiveCheck(ctx, agent, row, report)
	}
	if err := r.a.loop.Receive(ctx, agent, report); err != nil {
		return err
	}
	r.a.hub.ended(report.JobID)
	return nil
}

func (r receiver) StopAsked(ctx context.Context, row store.Job) (string, error) {
	if row.Kind != string(job.Run) {
		return "", nil
	}
	in, err := r.a.o.Store.FindIncident(ctx, row.Incident)
	if err != nil {
		return "", err
	}
	for i := range in.Runs {
		if in.Runs[i].JobID == row.ID {
			return in.Runs[i].StopAsked, nil
		}
	}
	return "", nil
}

func (r receiver) Progress(ctx context.Context, agent string, e job.Event) {
	r.a.loop.Progress(ctx, agent, e)
}

// backend is the dispatcher, with the names of agents kept at hand.
type backend struct {
	*dispatch.Dispatcher
	a *App
}

func (b backend) Enroll(ctx context.Context, token, name string, csr []byte, version string) (string, []byte, error) {
	agent, cert, err := b.Dispatcher.Enroll(ctx, token, name, csr, version)
	if err != nil {
		return "", nil, err
	}
	return agent, cert, b.a.refreshEnrolled(ctx)
}

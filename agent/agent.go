// Package agent works on servers for a controller: it takes jobs over the
// stream that it opened, checks each against its own limits, reads or acts
// through remote.Runner, and keeps every result until the controller has it.
// It decides nothing about incidents, and it is the only place that holds
// credentials for servers.
package agent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// keepAccepted is how long the journal remembers jobs that are done with, in
// case a controller that lost its store sends one again; it looks for older
// ones when it starts and then so often.
const (
	keepAccepted = 7 * 24 * time.Hour
	forgetEvery  = time.Hour
)

// Reacher opens the way to a target. Its transports may be shared; closing is
// the Reacher's business.
type Reacher interface {
	Reach(ctx context.Context, t job.Target) (remote.Transport, error)
}

// Renewer replaces the agent's certificate before it expires. Its duties: keep
// the new one on disk before returning it; after an error the old one stays.
type Renewer interface {
	Due(id job.Identity) bool
	Renew(ctx context.Context, address string, id job.Identity) (job.Identity, error)
}

// Timing is how long an agent waits for what. A zero field has its default.
type Timing struct {
	Lease       time.Duration // without a confirmed renewal for so long, no run starts another step; job.Lease
	Renew       time.Duration // between renewals; what the controller says
	Resend      time.Duration // until a report is sent again that was not answered; 15 s
	FirstRetry  time.Duration // the pause before the first reconnection is at most this; 200 ms
	MaxRetry    time.Duration // and before any other; 30 s
	Certificate time.Duration // between two looks at the certificate's age; 1 h
}

func (t Timing) withDefaults() Timing {
	for _, f := range []struct {
		field     *time.Duration
		otherwise time.Duration
	}{
		{&t.Lease, job.Lease},
		{&t.Resend, 15 * time.Second},
		{&t.FirstRetry, 200 * time.Millisecond},
		{&t.MaxRetry, 30 * time.Second},
		{&t.Certificate, time.Hour},
	} {
		if *f.field <= 0 {
			*f.field = f.otherwise
		}
	}
	return t
}

// Options are what an agent is made of.
type Options struct {
	Identity        job.Identity
	Addresses       []string // of controllers; tried in turn
	Journal         *journal.Journal
	Probes          *diagnostics.ProbeSet
	Actions         []engine.Action
	Limits          guard.Limits
	Reach           Reacher
	Redactor        remote.Redactor
	Secrets         engine.Secrets // that runbooks may refer to; may be nil
	Audit           remote.Audit   // may be nil
	Renewer         Renewer        // may be nil: the certificate then ends some day
	Dial            job.Dial       // may be nil
	Now             func() time.Time
	Rand            *rand.Rand
	Version         string
	CommandOutlives time.Duration // see engine.Deps; 0 is right outside of tests
	Host            string
	Logger          *slog.Logger
	Timing          Timing
}

// Agent is one agent. Run may be called once.
type Agent struct {
	Options
	slots    chan struct{}
	wait     sync.WaitGroup
	language expr.Language // of the runbooks

	mu sync.Mutex // guards below
	// running are the jobs in work, pending the reports not yet accepted.
	running   map[string]*running
	heard     time.Time // when the controller was last surely heard from
	pending   map[string]job.Report
	link      *job.Link
	identity  job.Identity // the newest; Options.Identity is the one started with
	renewedAt time.Time
	causes    map[string]*diagnostics.Cause // parsed, by digest
}

// New checks the options and returns an agent.
func New(o Options) (*Agent, error) {
	switch {
	case len(o.Addresses) == 0:
		return nil, fault.New(fault.Invalid, "no controller address")
	case o.Identity.Name == "" || len(o.Identity.CA) == 0:
		return nil, fault.New(fault.Invalid, "the agent has no identity").WithHint("enrol it: secondline agent enroll")
	case o.Journal == nil || o.Probes == nil || o.Reach == nil || o.Redactor == nil || o.Logger == nil:
		panic("agent.New: journal, probes, reach, redactor and logger are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) //nolint:gosec // jitter
	}
	if o.Limits.MaxJobs <= 0 {
		o.Limits.MaxJobs = guard.DefaultMaxJobs
	}
	o.Timing = o.Timing.withDefaults()
	return &Agent{
		Options: o, slots: make(chan struct{}, o.Limits.MaxJobs),
		running: map[string]*running{}, pending: map[string]job.Report{}, identity: o.Identity,
	}, nil
}

// Run works until ctx ends. Reports that were not delivered before the last
// end go out first. A run in work is stopped at the end of its open step and
// goes on when the controller sends it again; Run returns when all have ended.
func (a *Agent) Run(ctx context.Context) error {
	jobs, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer a.wait.Wait()
	defer stop(errStopping)
	defer context.AfterFunc(ctx, func() { stop(errStopping) })()
	a.forgetOldJobs(ctx)
	a.recover(ctx, jobs)
	a.wait.Go(func() { a.keepForgetting(ctx) })
	// Reconnection: nearly at once the first time, then with full jitter up to
	// the bound, so that ten thousand agents do not come back in the same second.
	pause := a.Timing.FirstRetry
	for n := 0; ; n++ {
		began := a.Now()
		err := a.connect(ctx, jobs, a.Addresses[n%len(a.Addresses)])
		a.setLink(nil)
		if ctx.Err() != nil {
			return nil
		}
		if a.Now().Sub(began) > a.Timing.MaxRetry {
			pause = a.Timing.FirstRetry
		}
		a.Logger.Log(ctx, lostLevel(err), "connection to the controller ended", slog.Any("reason", err), slog.Duration("next_try_within", pause))
		if !sleep(ctx, time.Duration(a.Rand.Int64N(int64(pause)))) {
			return nil
		}
		pause = min(2*pause, a.Timing.MaxRetry)
	}
}

// keepForgetting lets the journal of an agent that runs for years not grow.
func (a *Agent) keepForgetting(ctx context.Context) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.forgetOldJobs(ctx)
		}
	}
}

// forgetOldJobs forgets what a controller has accepted long ago, and nothing
// that is still to be told.
func (a *Agent) forgetOldJobs(ctx context.Context) {
	if _, err := a.Journal.ForgetAccepted(a.Now().Add(-keepAccepted)); err != nil {
		a.Logger.WarnContext(ctx, "old jobs were not forgotten", slog.Any("reason", err))
	}
}

// lostLevel tells a refusal, which a person has to look at, from what passes by itself.
func lostLevel(err error) slog.Level {
	if fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.Denied) {
		return slog.LevelError
	}
	return slog.LevelWarn
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// connect serves one connection. The jobs that come over it outlive it.
func (a *Agent) connect(ctx, jobs context.Context, address string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return job.Connect(ctx, job.ConnectOptions{
		Address: address, Identity: a.currentIdentity(), Handler: handler{jobs: jobs, a: a}, Dial: a.Dial, Logger: a.Logger,
		Hello: job.Hello{
			Version: a.Version, Host: a.Host, Mode: string(a.Limits.Mode), Slots: a.Limits.MaxJobs, OpenJobs: a.Journal.OpenJobs(),
			Targets: a.Limits.Targets,
		},
		Confirmed: a.confirm,
		Ready: func(l *job.Link) {
			a.Logger.InfoContext(ctx, "connected to the controller", slog.String("controller", l.Controller()), slog.String("address", address))
			a.setLink(l)
			a.wait.Go(func() { a.keepLeases(ctx, l) })
			a.wait.Go(func() { a.sendPending(ctx, l) })
			if a.Renewer != nil {
				a.wait.Go(func() { a.keepCertificate(ctx, l, address) })
			}
		},
	})
}

func (a *Agent) currentIdentity() job.Identity {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.identity
}

// keepCertificate renews the certificate when it is due, and comes back with
// the new one: only then does the controller stop taking the old one.
func (a *Agent) keepCertificate(ctx context.Context, l *job.Link, address string) {
	tick := time.NewTicker(a.Timing.Certificate)
	defer tick.Stop()
	for {
		if a.renewalDue() {
			id, err := a.Renewer.Renew(ctx, address, a.currentIdentity())
			if err == nil {
				a.mu.Lock()
				a.identity = id
				a.mu.Unlock()
				a.Logger.InfoContext(ctx, "certificate was renewed")
				l.End(errRenewed)
				return
			}
			if ctx.Err() == nil {
				a.Logger.WarnContext(ctx, "certificate was not renewed", slog.Any("reason", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-l.Done():
			return
		case <-tick.C:
		}
	}
}

// renewalDue takes a turn to renew, at most one in Timing.Certificate: clocks
// that disagree must not make a new certificate look old again and again.
func (a *Agent) renewalDue() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.Now()
	if !a.Renewer.Due(a.identity) || !a.renewedAt.IsZero() && now.Sub(a.renewedAt) < a.Timing.Certificate {
		return false
	}
	a.renewedAt = now
	return true
}

// Package dispatch gives agents their work: it leases the jobs of an agent's
// queue to the stream that the agent opened, keeps leases alive while the agent
// works, and hands on what comes back. The job row is the truth; a stream that
// breaks loses nothing. It decides nothing about incidents.
package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// pollEvery is how soon work is found whose wake-up was lost.
const pollEvery = time.Second

// seenEvery bounds how often "last seen" is written, and how late a revocation
// by another controller is heeded.
const seenEvery = time.Minute

// releaseTimeout bounds giving leases back; those that are not lapse.
const releaseTimeout = 5 * time.Second

// Receiver takes what agents send back.
type Receiver interface {
	// Receive stores a report with everything that follows from it. Nil means
	// that the agent may forget it. It is idempotent.
	Receive(ctx context.Context, agent string, r job.Report) error
	// StopAsked returns why a person asked to stop the job, "" when nobody did.
	StopAsked(ctx context.Context, j store.Job) (why string, err error)
	// Progress shows an event; it must not block.
	Progress(ctx context.Context, agent string, e job.Event)
}

// Store is what the dispatcher needs of the store.
type Store interface {
	store.Jobs
	store.Agents
}

// Options configures a Dispatcher.
type Options struct {
	Store      Store
	CA         *job.CA
	Receiver   Receiver
	Controller string // this controller's id; part of lease owners
	Now        func() time.Time
	Lease      time.Duration // 0 means job.Lease
	Logger     *slog.Logger
	// OnRefused counts messages that an agent was not entitled to; may be nil.
	OnRefused func()
}

// Dispatcher implements job.Backend. Safe for concurrent use.
type Dispatcher struct {
	Options

	// agents guards the rows of agents against two changes at once, by the
	// name's hash. It does so within this controller only.
	agents [64]sync.Mutex

	mu sync.Mutex // guards below
	// sessions has the newest session of each agent.
	sessions map[string]*session
	count    int64
	draining bool
}

var _ job.Backend = (*Dispatcher)(nil)

// New returns a dispatcher without sessions.
func New(o Options) *Dispatcher {
	if o.Lease <= 0 {
		o.Lease = job.Lease
	}
	return &Dispatcher{Options: o, sessions: map[string]*session{}}
}

// lockAgent makes the caller the only one to change the agent's row.
func (d *Dispatcher) lockAgent(name string) (unlock func()) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // it never fails
	m := &d.agents[h.Sum32()%uint32(len(d.agents))]
	m.Lock()
	return m.Unlock
}

// Queue is the name of an agent's queue.
func Queue(agent string) string { return "agent:" + agent }

// EnrolToken makes a one-time token. agent fixes the name of who uses it; ""
// leaves it to the agent, which must then ask for one that is free.
func (d *Dispatcher) EnrolToken(ctx context.Context, agent string, ttl time.Duration) (string, error) {
	if agent != "" && !job.ValidAgentName(agent) {
		return "", fault.New(fault.Invalid, "agent name %q: letters, digits and _ . @ - only, at most 64", agent)
	}
	token, err := job.NewJoinToken(d.CA.Fingerprint())
	if err != nil {
		return "", err
	}
	if err := d.Store.AddEnrolToken(ctx, token.Hash(), agent, d.Now().Add(ttl)); err != nil {
		return "", err
	}
	return token.Text(), nil
}

// Enroll implements job.Backend. A token that fixes the name may take the name
// of an agent that is there already: its machine was set up anew. Any other may
// not, so that a stolen token cannot become an existing agent. A mistake does
// not use the token up: it is taken when everything else is right.
func (d *Dispatcher) Enroll(ctx context.Context, token, name string, csr []byte, version string) (agent string, cert []byte, err error) {
	if _, err := job.ParseJoinToken(token); err != nil { // costs a stranger nothing, and the store neither
		return "", nil, fault.New(fault.Unauthenticated, "this is not a join token")
	}
	if name != "" && !job.ValidAgentName(name) {
		return "", nil, fault.New(fault.Invalid, "agent name %q: letters, digits and _ . @ - only, at most 64", name)
	}
	hash := job.HashJoinToken(token)
	fixed, err := d.Store.FindEnrolToken(ctx, hash, d.Now())
	if err != nil {
		return "", nil, err
	}
	if fixed != "" && name != "" && name != fixed {
		return "", nil, fault.New(fault.Denied, "the token is for agent %s, not for %s", fixed, name)
	}
	if name = cmp.Or(fixed, name); name == "" {
		return "", nil, fault.New(fault.Invalid, "the token is for an agent of any name, and this one has none").WithHint("say what it is called, with --name: the id of its host in the inventory")
	}
	defer d.lockAgent(name)()
	if fixed == "" {
		if err := d.mustBeFree(ctx, name); err != nil {
			return "", nil, err
		}
	}
	cert, serial, err := d.CA.IssueAgent(name, csr)
	if err != nil {
		return "", nil, err
	}
	if _, err := d.Store.UseEnrolToken(ctx, hash, d.Now()); err != nil { // somebody was quicker
		return "", nil, err
	}
	err = d.Store.SaveAgent(ctx, store.Agent{ID: name, Serial: serial, Version: version, EnrolledAt: d.Now(), Mode: "observe", Targets: []string{}})
	if err != nil {
		return "", nil, err
	}
	d.end(name, fault.New(fault.Denied, "agent %s was enrolled anew", name))
	return name, cert, nil
}

func (d *Dispatcher) mustBeFree(ctx context.Context, name string) error {
	_, err := d.Store.FindAgent(ctx, name)
	if err == nil {
		return fault.New(fault.Conflict, "there is an agent %s already", name).
			WithHint("make a token for exactly this name: secondline agents enroll-token %s", name)
	}
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// Renew implements job.Backend. The certificate that the agent has stays good
// until it first shows the new one: an answer that is lost locks nobody out.
func (d *Dispatcher) Renew(ctx context.Context, agent string, csr []byte) ([]byte, error) {
	defer d.lockAgent(agent)()
	a, err := d.Store.FindAgent(ctx, agent)
	if err != nil {
		return nil, err
	}
	cert, serial, err := d.CA.IssueAgent(agent, csr)
	if err != nil {
		return nil, err
	}
	a.NextSerial = serial
	return cert, d.Store.SaveAgent(ctx, a)
}

// Authorize implements job.Backend: revocation is by agent, whatever
// certificate it shows. Of its certificates only the newest is good: one from
// before it was enrolled anew, or renewed, may be in strange hands.
func (d *Dispatcher) Authorize(ctx context.Context, agent, serial string) error {
	a, err := d.Store.FindAgent(ctx, agent)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Unauthenticated, "agent %s is not enrolled here", agent)
	}
	if err != nil {
		return err
	}
	switch {
	case !a.RevokedAt.IsZero():
		return revoked(a)
	case serial == a.Serial:
		return nil
	case serial != "" && serial == a.NextSerial:
		return d.useNext(ctx, agent, serial)
	}
	return fault.New(fault.Unauthenticated, "the certificate of agent %s was replaced by a newer one", agent).
		WithHint("enrol it anew: secondline agents enroll-token %s", agent)
}

func revoked(a store.Agent) error {
	return fault.New(fault.Denied, "agent %s was revoked at %s", a.ID, a.RevokedAt.UTC().Format(time.RFC3339))
}

// useNext makes the renewed certificate the agent's only one.
func (d *Dispatcher) useNext(ctx context.Context, agent, serial string) error {
	defer d.lockAgent(agent)()
	a, err := d.Store.FindAgent(ctx, agent)
	if err != nil || a.Serial == serial {
		return err
	}
	if a.NextSerial != serial || !a.RevokedAt.IsZero() {
		return fault.New(fault.Unauthenticated, "the certificate of agent %s was replaced by a newer one", agent)
	}
	a.Serial, a.NextSerial = serial, ""
	return d.Store.SaveAgent(ctx, a)
}

// Revoke ends an agent's right to connect, and its session.
func (d *Dispatcher) Revoke(ctx context.Context, agent string) error {
	defer d.lockAgent(agent)()
	a, err := d.Store.FindAgent(ctx, agent)
	if err != nil {
		return err
	}
	a.RevokedAt = d.Now()
	if err := d.Store.SaveAgent(ctx, a); err != nil {
		return err
	}
	d.end(agent, revoked(a))
	return nil
}

// end ends the agent's session, if there is one.
func (d *Dispatcher) end(agent string, why error) {
	d.mu.Lock()
	s := d.sessions[agent]
	d.mu.Unlock()
	if s != nil {
		s.stop(why)
	}
}

// Connect implements job.Backend. A second stream of the same agent replaces
// the first: the agent knows better than we which one is alive.
func (d *Dispatcher) Connect(ctx context.Context, link job.Session) (job.Inbound, error) {
	d.mu.Lock()
	if d.draining {
		d.mu.Unlock()
		return nil, fault.New(fault.Overloaded, "controller %s is stopping", d.Controller)
	}
	d.count++
	s := newSession(ctx, d, link, d.count)
	old := d.sessions[link.Agent()]
	d.sessions[link.Agent()] = s
	d.mu.Unlock()
	if old != nil {
		old.stop(fault.New(fault.Conflict, "agent %s connected again", link.Agent()))
	}
	s.start()
	return s, nil
}

func (d *Dispatcher) forget(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sessions[s.link.Agent()] == s {
		delete(d.sessions, s.link.Agent())
	}
}

// Wake says that an agent's queue has work. It is a hint: the poll finds it, too.
func (d *Dispatcher) Wake(agent string) {
	d.mu.Lock()
	s := d.sessions[agent]
	d.mu.Unlock()
	if s == nil {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Cancel asks an agent to stop a job at the end of its open step.
func (d *Dispatcher) Cancel(agent, jobID, reason string) {
	d.mu.Lock()
	s := d.sessions[agent]
	d.mu.Unlock()
	if s != nil {
		_ = s.link.SendCancel(jobID, reason) // a broken stream stops the agent's next step by the lost lease
	}
}

// Recall tells an agent that a job is not its own any more, so that it lets go of
// it at the end of its open step. One that does not hear it learns it when it
// renews its lease.
func (d *Dispatcher) Recall(agent, jobID, reason string) {
	d.mu.Lock()
	s := d.sessions[agent]
	d.mu.Unlock()
	if s == nil {
		return
	}
	if fence, ok := s.fence(jobID); ok {
		s.drop(jobID, fence)
		_ = s.link.SendLeaseLost(jobID, fence, reason)
	}
}

// Connected returns the agents with an open stream.
func (d *Dispatcher) Connected() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string]bool, len(d.sessions))
	for agent := range d.sessions {
		out[agent] = true
	}
	return out
}

// Drain gives every lease back and takes no more agents, so that another
// controller, or the next start of this one, can go on at once.
func (d *Dispatcher) Drain(ctx context.Context) error {
	d.mu.Lock()
	d.draining = true
	all := make([]*session, 0, len(d.sessions))
	for _, s := range d.sessions {
		all = append(all, s)
	}
	d.mu.Unlock()
	for _, s := range all {
		s.stop(fault.New(fault.Transient, "controller %s is stopping", d.Controller))
	}
	var errs []error
	for _, s := range all {
		<-s.done
		errs = append(errs, s.release(ctx))
	}
	return errors.Join(errs...)
}

// decode reads a job row into the job as the agent gets it.
func decode(row store.Job) (job.Job, error) {
	var j job.Job
	if err := json.Unmarshal(row.Payload, &j); err != nil {
		return job.Job{}, fault.Wrap(fault.Internal, err, "read job %s", row.ID)
	}
	j.ID, j.Fence = row.ID, row.Fence
	return j, nil
}

package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// session serves one stream of one agent.
type session struct {
	d     *Dispatcher
	link  job.Session
	owner string // of the leases
	// enrolled is when the agent was, as first seen by this session. Only run uses it.
	enrolled time.Time
	wake     chan struct{}
	ctx      context.Context //nolint:containedctx // the stream's own
	cancel   context.CancelCauseFunc
	done     chan struct{}

	mu sync.Mutex // guards below
	// held are the jobs leased to this stream, as far as is known.
	held map[string]hold
}

// hold is a lease of this stream.
type hold struct {
	fence int64
	until time.Time
}

var _ job.Inbound = (*session)(nil)

func newSession(ctx context.Context, d *Dispatcher, link job.Session, n int64) *session {
	ctx, cancel := context.WithCancelCause(ctx)
	return &session{
		d: d, link: link, owner: fmt.Sprintf("%s/%s/%d", d.Controller, link.Agent(), n),
		wake: make(chan struct{}, 1), ctx: ctx, cancel: cancel, done: make(chan struct{}), held: map[string]hold{},
	}
}

func (s *session) start() {
	go func() {
		defer close(s.done)
		s.run()
	}()
}

// stop ends the session and its stream; the agent is told why.
func (s *session) stop(err error) {
	s.cancel(err)
	s.link.End(err)
}

// Close implements job.Inbound: the stream is over. Its leases are given back,
// so that the jobs are sent again as soon as their agent comes back. Nobody else
// can have them: the queue is this agent's.
func (s *session) Close() {
	s.cancel(nil)
	<-s.done
	s.d.forget(s)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), releaseTimeout)
	defer cancel()
	if err := s.release(ctx); err != nil {
		s.d.Logger.WarnContext(ctx, "leases were not given back; they lapse", slog.String("agent", s.link.Agent()), slog.Any("reason", err))
		return
	}
	s.d.Wake(s.link.Agent()) // it may be back already
}

func (s *session) release(ctx context.Context) error {
	s.mu.Lock()
	n := len(s.held)
	clear(s.held)
	s.mu.Unlock()
	if n == 0 {
		return nil
	}
	return s.d.Store.ReleaseLeases(ctx, s.owner)
}

// run sends work until the session ends.
func (s *session) run() {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	var seen time.Time
	for {
		if now := s.d.Now(); now.Sub(seen) >= seenEvery {
			s.noteSeen(now)
			seen = now
		}
		if err := s.sendDue(); err != nil && s.ctx.Err() == nil {
			s.d.Logger.WarnContext(s.ctx, "agent's queue was not read", slog.String("agent", s.link.Agent()), slog.Any("reason", err))
		}
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		case <-poll.C:
		}
	}
}

// noteSeen writes down that the agent is here, and ends the session of one
// that was revoked or enrolled anew through another controller.
func (s *session) noteSeen(now time.Time) {
	defer s.d.lockAgent(s.link.Agent())()
	a, err := s.d.Store.FindAgent(s.ctx, s.link.Agent())
	if err != nil {
		return // Authorize has seen it; the next minute tries again
	}
	switch {
	case !a.RevokedAt.IsZero():
		s.stop(revoked(a))
		return
	case !s.enrolled.IsZero() && !a.EnrolledAt.Equal(s.enrolled): // no comparison of two controllers' clocks
		s.stop(fault.New(fault.Denied, "agent %s was enrolled anew", a.ID))
		return
	}
	s.enrolled = a.EnrolledAt
	h := s.link.Hello()
	a.SeenAt, a.Version, a.Host, a.Mode, a.Targets = now, h.Version, h.Host, h.Mode, h.Targets
	if a.Targets == nil {
		a.Targets = []string{}
	}
	if err := s.d.Store.SaveAgent(s.ctx, a); err != nil && s.ctx.Err() == nil {
		s.d.Logger.WarnContext(s.ctx, "agent's last contact was not noted", slog.String("agent", a.ID), slog.Any("reason", err))
	}
}

// sendDue leases as many due jobs as the agent has free hands, and sends them.
func (s *session) sendDue() error {
	now := s.d.Now()
	free := s.link.Hello().Slots - s.busy(now)
	if free <= 0 {
		return nil
	}
	until := now.Add(s.d.Lease)
	rows, err := s.d.Store.ClaimJobs(s.ctx, Queue(s.link.Agent()), s.owner, now, until, free)
	if err != nil {
		return err
	}
	s.mu.Lock()
	for _, row := range rows {
		s.held[row.ID] = hold{row.Fence, until}
	}
	s.mu.Unlock()
	for _, row := range rows {
		if err := s.send(row, now); err != nil {
			return err
		}
	}
	return nil
}

// busy counts the jobs that the agent holds. A lease that lapsed, because the
// agent no longer renews it, holds no hand: the job is to be sent again.
func (s *session) busy(now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.held, func(_ string, h hold) bool { return !h.until.After(now) })
	return len(s.held)
}

// send sends one job. An error means that the session is over; a job that
// cannot be sent is failed and must not stand in the way of the next.
func (s *session) send(row store.Job, now time.Time) error {
	if !row.Deadline.IsZero() && now.After(row.Deadline) && row.Attempts <= 1 {
		// Never sent, and too late now. One that was sent goes out again, so that
		// the agent can answer it from its journal.
		s.fail(row, now, fault.New(fault.Timeout, "the job was overdue before its agent could take it"))
		return nil
	}
	j, err := decode(row)
	if err == nil {
		err = s.link.SendJob(j)
	}
	if err != nil && s.ctx.Err() == nil && (fault.Is(err, fault.Internal) || fault.Is(err, fault.TooLarge)) {
		s.fail(row, now, err)
		return nil
	}
	if err != nil || row.Attempts <= 1 {
		return err
	}
	return s.askAgainToStop(row)
}

// askAgainToStop repeats what Cancel asked for while the agent was away or had
// another stream. An agent that never began the job has it stopped before its
// first step. When it cannot be known, the session ends and the job is sent once
// more.
func (s *session) askAgainToStop(row store.Job) error {
	why, err := s.d.Receiver.StopAsked(s.ctx, row)
	if err != nil {
		s.stop(err)
		return err
	}
	if why == "" {
		return nil
	}
	return s.link.SendCancel(row.ID, why)
}

// fail ends a job in the agent's place.
func (s *session) fail(row store.Job, now time.Time, why error) {
	err := s.d.Receiver.Receive(s.ctx, s.link.Agent(), job.Report{
		JobID: row.ID, Fence: row.Fence, Kind: job.Kind(row.Kind), Agent: s.link.Agent(), Status: job.Failed, Started: now, Ended: now,
		Error: &job.Problem{Kind: fault.KindOf(why), Message: why.Error()},
	})
	if err != nil {
		if s.ctx.Err() == nil {
			s.d.Logger.ErrorContext(s.ctx, "job that cannot be sent was not ended", slog.String("job", row.ID), slog.Any("reason", err))
		}
		return
	}
	s.drop(row.ID, row.Fence)
}

// drop forgets a lease, unless there is a newer one.
func (s *session) drop(jobID string, fence int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[jobID].fence <= fence {
		delete(s.held, jobID)
	}
}

func (s *session) fence(jobID string) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[jobID]
	return h.fence, ok
}

// Renew implements job.Inbound.
func (s *session) Renew(ctx context.Context, jobID string, fence int64) error {
	held, ok := s.fence(jobID)
	if !ok {
		return s.mayKeep(ctx, jobID, fence)
	}
	if held > fence {
		return nil // the job with the newer fence is on its way to the agent
	}
	until := s.d.Now().Add(s.d.Lease)
	err := s.d.Store.RenewLease(ctx, jobID, s.owner, fence, until)
	switch {
	case err == nil:
		s.mu.Lock()
		if s.held[jobID].fence == fence {
			s.held[jobID] = hold{fence, until}
		}
		s.mu.Unlock()
	case fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound):
		if held, ok := s.fence(jobID); ok && held > fence {
			return nil // it lapsed, and was leased to this stream again
		}
		s.drop(jobID, fence)
	}
	return err
}

// mayKeep says whether an agent that came back may go on with a job of an
// earlier stream. It may while the job is open and nobody was sent it since: the
// queue is its own, and this stream sends it again, with a higher fence, when
// the old lease is given back or has lapsed.
func (s *session) mayKeep(ctx context.Context, jobID string, fence int64) error {
	row, err := s.ownJob(ctx, jobID)
	if err != nil {
		return err
	}
	switch row.State {
	case store.JobQueued, store.JobLeased:
		if row.Fence <= fence {
			return nil
		}
		if held, ok := s.fence(jobID); ok && held > fence {
			return nil // leased to this stream while we looked
		}
		return fault.New(fault.Conflict, "job %s with fence %d is leased with fence %d", jobID, fence, row.Fence)
	case store.JobDone, store.JobFailed, store.JobCancelled, store.JobPaused:
	}
	return fault.New(fault.Conflict, "nobody is to work on job %s: it is %s", jobID, row.State)
}

// ownJob finds a job of this agent's queue.
func (s *session) ownJob(ctx context.Context, jobID string) (store.Job, error) {
	row, err := s.d.Store.FindJob(ctx, jobID)
	if err == nil && row.Queue != Queue(s.link.Agent()) {
		if s.d.OnRefused != nil {
			s.d.OnRefused()
		}
		err = fault.New(fault.Denied, "job %s does not belong to agent %s", jobID, s.link.Agent())
	}
	return row, err
}

// Report implements job.Inbound.
func (s *session) Report(ctx context.Context, r job.Report) error {
	if _, err := s.ownJob(ctx, r.JobID); err != nil {
		return err
	}
	if err := s.d.Receiver.Receive(ctx, s.link.Agent(), r); err != nil {
		return err
	}
	s.drop(r.JobID, r.Fence)
	select { // hands are free
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// Event implements job.Inbound. Only what is leased to this stream is shown: an
// agent has no say about the jobs of others.
func (s *session) Event(ctx context.Context, e job.Event) {
	if _, ok := s.fence(e.JobID); ok {
		s.d.Receiver.Progress(ctx, s.link.Agent(), e)
	}
}

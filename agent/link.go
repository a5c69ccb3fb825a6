package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/internal/fault"
)

// setLink notes whether there is a way to the controller.
func (a *Agent) setLink(l *job.Link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.link = l
}

// keepLeases renews the leases of jobs in work while the link is open.
func (a *Agent) keepLeases(ctx context.Context, l *job.Link) {
	every := a.Timing.Renew
	if every <= 0 {
		every = l.RenewEvery()
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		held := a.leases()
		for id, fence := range held {
			if err := l.RenewLease(ctx, id, fence); err != nil {
				return // the link is over
			}
		}
		if len(held) > 0 {
			if err := l.Confirm(ctx); err != nil {
				return
			}
			a.tellProgress()
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

func (a *Agent) leases() map[string]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[string]int64, len(a.running))
	for id, r := range a.running {
		out[id] = r.fence
	}
	return out
}

// confirm takes the controller's word that it has handled all that was sent
// before the time: the leases renewed until then hold from then on.
func (a *Agent) confirm(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at.After(a.heard) {
		a.heard = at
	}
	for _, r := range a.running {
		if r.lapse != nil && r.since.Before(at) {
			r.lapse.Reset(a.Timing.Lease - time.Since(at))
		}
	}
}

// lastHeard is when the controller was last surely heard from.
func (a *Agent) lastHeard() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heard
}

// sendPending sends what is not yet accepted, now and again, while the link is
// open: a controller that could not store a report does not answer it.
func (a *Agent) sendPending(ctx context.Context, l *job.Link) {
	tick := time.NewTicker(a.Timing.Resend)
	defer tick.Stop()
	for {
		for _, r := range a.reports() {
			a.send(ctx, l, r)
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

func (a *Agent) reports() []job.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]job.Report, 0, len(a.pending))
	for _, r := range a.pending {
		out = append(out, r)
	}
	return out
}

// send hands a report to the link, if there is one. It stays pending until it
// is accepted.
func (a *Agent) send(ctx context.Context, l *job.Link, r job.Report) {
	if l == nil {
		return
	}
	if err := l.SendReport(ctx, r); err != nil {
		a.Logger.InfoContext(ctx, "report waits for the next connection", slog.String("job", r.JobID), slog.Any("reason", err))
	}
}

func (a *Agent) event(jobID string, fence int64, e job.Event) {
	a.mu.Lock()
	link := a.link
	a.mu.Unlock()
	if link != nil {
		link.SendEvent(jobID, fence, e)
	}
}

// handler takes the controller's messages.
type handler struct {
	jobs context.Context //nolint:containedctx // ends when the agent stops, not with the connection
	a    *Agent
}

var _ job.Handler = handler{}

// Job implements job.Handler.
func (h handler) Job(j job.Job) { h.a.take(h.jobs, j) }

// Cancel stops a job at the end of its open step; its report says so.
func (h handler) Cancel(jobID, reason string) {
	h.a.mu.Lock()
	defer h.a.mu.Unlock()
	if r := h.a.running[jobID]; r != nil {
		r.stop(fault.Wrap(fault.Conflict, errCancelled, "%s", reason))
	}
}

// Accepted lets go of a report: the controller has it.
func (h handler) Accepted(jobID string, _ int64) {
	h.a.mu.Lock()
	report, waiting := h.a.pending[jobID]
	delete(h.a.pending, jobID)
	h.a.mu.Unlock()
	if !waiting || !h.a.Journal.Knows(jobID) {
		return
	}
	entry := journal.Entry{Job: jobID, Fence: max(report.Fence, h.a.Journal.HighestFence(jobID)), Kind: journal.Accepted}
	if err := h.a.Journal.Append(context.WithoutCancel(h.jobs), entry); err != nil {
		h.a.Logger.WarnContext(h.jobs, "acceptance was not noted; the report may be sent again", slog.String("job", jobID), slog.Any("reason", err))
	}
}

// LeaseLost lets a job go at the end of its open step, and forgets a report
// that the controller does not take. What is in the journal stays there: if
// the controller still wants it, it sends the job again. A loss of an older
// lease than the present one is old news.
func (h handler) LeaseLost(jobID string, fence int64, reason string) {
	h.a.mu.Lock()
	defer h.a.mu.Unlock()
	if r := h.a.running[jobID]; r != nil && r.fence <= fence {
		r.stop(fault.Wrap(fault.Conflict, errLost, "%s", reason))
	}
	if p, ok := h.a.pending[jobID]; ok && p.Fence <= fence {
		delete(h.a.pending, jobID)
	}
}

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Why jobs are stopped. A job that was cancelled is reported so. In every other
// case it is let go without a report: the controller sends it again, to this
// agent, and it goes on from the journal.
var (
	errCancelled = errors.New("the job was cancelled")
	errStopping  = fmt.Errorf("the agent is stopping: %w", engine.ErrSuspended)
	errLapsed    = fmt.Errorf("the lease lapsed while the controller could not be reached: %w", engine.ErrSuspended)
	errLost      = fmt.Errorf("the lease was lost: %w", engine.ErrSuspended)
	errRenewed   = fmt.Errorf("the certificate was renewed: %w", engine.ErrSuspended)
)

// running is one job in work. Its fields are guarded by Agent.mu.
type running struct {
	fence int64
	since time.Time // when its lease was surely held
	stop  context.CancelCauseFunc
	lapse *time.Timer // of a run; nil for what only reads
	again *job.Job    // sent again while this was on its way
	alone bool        // taken up without a lease, only to take back what may have cut off the host

	progress *progress // nil until there is some
}

// take begins a job, or answers one that is known. It never begins the same
// work twice: a job in work only learns its new fence, and a finished one is
// answered from the journal.
func (a *Agent) take(ctx context.Context, j job.Job) {
	if highest := a.Journal.HighestFence(j.ID); j.Fence < highest { // it only grows: no lock needed
		a.Logger.WarnContext(ctx, "job with a stale fence was refused", slog.String("job", j.ID), slog.Int64("fence", j.Fence))
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.running[j.ID]; r != nil {
		r.fence, r.again = max(r.fence, j.Fence), &j
		return
	}
	if r, ok := a.pending[j.ID]; ok {
		r.Fence = max(r.Fence, j.Fence)
		a.pending[j.ID] = r
		link := a.link
		a.wait.Go(func() { a.send(ctx, link, r) })
		return
	}
	a.begin(ctx, j)
}

// begin starts a job on a goroutine of its own. The caller holds a.mu.
func (a *Agent) begin(ctx context.Context, j job.Job) {
	work, stop := context.WithCancelCause(ctx)
	r := &running{fence: j.Fence, since: time.Now(), stop: stop}
	if j.Kind == job.Run {
		r.lapse = time.AfterFunc(a.Timing.Lease, func() { stop(errLapsed) })
	}
	a.running[j.ID] = r
	a.wait.Go(func() {
		defer stop(nil)
		report, ended := a.inSlot(work, j)
		a.finish(ctx, j.ID, report, ended)
	})
}

// inSlot carries the job out when a slot is free. The controller sends no more
// jobs than there are slots; after a reconnection there may be more.
func (a *Agent) inSlot(ctx context.Context, j job.Job) (report job.Report, ended bool) {
	select {
	case a.slots <- struct{}{}:
	case <-ctx.Done():
		if !errors.Is(context.Cause(ctx), errCancelled) {
			return job.Report{}, false
		}
		a.slots <- struct{}{} // how it ended is still to be told; the other jobs are bounded
	}
	defer func() { <-a.slots }()
	return a.carryOut(ctx, j)
}

// finish turns a job in work into a report that waits to be accepted, in one
// step, so that a job sent again at this moment finds one or the other.
func (a *Agent) finish(ctx context.Context, jobID string, report job.Report, ended bool) {
	a.mu.Lock()
	r, link := a.running[jobID], a.link
	delete(a.running, jobID)
	if r.lapse != nil {
		r.lapse.Stop()
	}
	switch {
	case ended:
		report.Fence = max(report.Fence, r.fence)
		a.pending[jobID] = report
	case r.again != nil && ctx.Err() == nil:
		a.begin(ctx, *r.again)
	}
	a.mu.Unlock()
	if ended {
		a.send(context.WithoutCancel(ctx), link, report)
	}
}

// carryOut does the job and returns its report; ended is false when the job
// was let go before it came to an end. Only jobs that may change something are
// written down: a reading that is lost is read again.
func (a *Agent) carryOut(ctx context.Context, j job.Job) (report job.Report, ended bool) {
	if j.Kind != job.Run {
		report = a.work(ctx, j)
		return report, !letGo(ctx)
	}
	past, err := a.recall(j)
	switch {
	case err != nil:
		return a.failed(j, job.Unknown, err), true
	case past.report != nil:
		return *past.report, true
	case !past.begun && !j.Deadline.IsZero() && a.Now().After(j.Deadline):
		return a.failed(j, job.Failed, fault.New(fault.Timeout, "the run was overdue before it could begin").
			WithHint("when this comes again, compare the clocks of agent and controller")), true
	}
	if err := a.record(ctx, j, journal.Lease, j); err != nil {
		return past.judge(a.failed(j, job.Failed, err)), true
	}
	report = a.work(ctx, j)
	if past.acted && unreachable(report) {
		a.Logger.WarnContext(ctx, "run cannot go on yet, its target was not reached", slog.String("job", j.ID), slog.Any("reason", report.Error.Message))
		return job.Report{}, false
	}
	report = past.judge(report)
	if letGo(ctx) && !conclusive(report) {
		a.Logger.InfoContext(ctx, "run was let go", slog.String("job", j.ID), slog.Any("reason", context.Cause(ctx)))
		return job.Report{}, false
	}
	if err := a.record(ctx, j, journal.Report, report); err != nil {
		// The report goes out all the same; after a crash the run is looked at again.
		a.Logger.ErrorContext(ctx, "report was not written down", slog.String("job", j.ID), slog.Any("reason", err))
	}
	return report, true
}

// unreachable reports whether a run has not come as far as its target. One that
// is half done is not ended by that: what is to be undone, and what is to follow
// in any case, waits until the job is sent again.
func unreachable(r job.Report) bool {
	return r.Run == nil && r.Error != nil && (r.Error.Kind == fault.Unreachable || r.Error.Kind == fault.Timeout)
}

// letGo reports whether the job was stopped for another reason than that
// somebody cancelled it.
func letGo(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errCancelled)
}

// conclusive reports whether a run that was let go had come to its end
// nevertheless. What was cut short, or could not be read any more because the
// agent stopped reading, is no end.
func conclusive(report job.Report) bool {
	if report.Status != job.Done || report.Run == nil {
		return false
	}
	switch report.Run.Status {
	case runbooks.RunVerified, runbooks.RunUndone, runbooks.RunRefuted, runbooks.RunUnknown:
		return true
	case runbooks.RunPlanned, runbooks.RunWaiting, runbooks.RunRunning, runbooks.RunRefused, runbooks.RunRejected,
		runbooks.RunCancelled, runbooks.RunFailed:
	}
	return false
}

// past is what the journal knows of a run.
type past struct {
	report *job.Report // how it ended; nil when it did not
	begun  bool
	acted  bool // a step may have changed something
}

// judge corrects a report that says "nothing was changed" only because the run
// could not be taken up again.
func (p past) judge(r job.Report) job.Report {
	if p.acted && (r.Status == job.Failed || r.Status == job.Refused) {
		r.Status = job.Unknown
	}
	return r
}

// recall reads what the journal knows of a run. An error means that this
// cannot be told.
func (a *Agent) recall(j job.Job) (past, error) {
	entries, err := a.Journal.Job(j.ID)
	if err != nil {
		return past{}, err
	}
	p := past{begun: len(entries) > 0}
	for _, e := range entries {
		p.acted = p.acted || e.Kind == journal.Intent
		if e.Kind != journal.Report {
			continue
		}
		p.report = &job.Report{}
		if err := json.Unmarshal(e.Data, p.report); err != nil {
			return past{}, fault.Wrap(fault.Internal, err, "read the report of job %s in the journal", j.ID)
		}
		p.report.Fence = j.Fence
	}
	return p, nil
}

// record writes an entry of the job down. Stopping the job does not tear its
// records apart from its deeds.
func (a *Agent) record(ctx context.Context, j job.Job, kind journal.Kind, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode %s of job %s: %w", kind, j.ID, err)
	}
	fence := max(j.Fence, a.leases()[j.ID], a.Journal.HighestFence(j.ID))
	return a.Journal.Append(context.WithoutCancel(ctx), journal.Entry{Job: j.ID, Fence: fence, Kind: kind, Data: raw})
}

// recover takes the reports of runs that ended before a crash or a stop, to be
// delivered. A run that had not ended waits: its lease is not known to hold,
// and without it no step may start. The controller sends it again. But one whose
// open step may have cut off this very host is taken up at once, as far as to
// take that back: the controller may have no way to send anything.
func (a *Agent) recover(ctx, jobs context.Context) {
	for _, id := range a.Journal.OpenJobs() {
		known, err := a.recall(job.Job{ID: id, Fence: a.Journal.HighestFence(id)})
		switch {
		case err != nil:
			a.Logger.ErrorContext(ctx, "job in the journal could not be read; a person has to look", slog.String("job", id), slog.Any("reason", err))
		case known.report == nil && a.takeUpAlone(jobs, id):
			a.Logger.WarnContext(ctx, "run was interrupted in a step that may cut off this host; it is taken back unless the controller is heard from", slog.String("job", id))
		case known.report == nil:
			a.Logger.InfoContext(ctx, "run was interrupted; it goes on when the controller sends it again", slog.String("job", id))
		default:
			a.mu.Lock()
			a.pending[id] = *known.report
			a.mu.Unlock()
		}
	}
}

// takeUpAlone takes up an interrupted run without a lease when its open step may
// have cut off the host, and reports whether it did.
func (a *Agent) takeUpAlone(jobs context.Context, id string) bool {
	j, err := a.leased(id)
	if err != nil || j.Run == nil || !j.Target.Local() {
		return false
	}
	records, err := jobJournal{a.Journal, id}.Records()
	if err != nil || !engine.MayBeCutOff(j.Run.Plan, records) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begin(jobs, j)
	a.running[id].alone = true
	return true
}

// leased returns the job as it was last leased, from the journal.
func (a *Agent) leased(id string) (j job.Job, err error) {
	entries, err := a.Journal.Job(id)
	if err != nil {
		return j, err
	}
	for _, e := range entries {
		if e.Kind == journal.Lease {
			j = job.Job{}
			if err := json.Unmarshal(e.Data, &j); err != nil {
				return j, fault.Wrap(fault.Internal, err, "read job %s in the journal", id)
			}
		}
	}
	j.Fence = a.Journal.HighestFence(id)
	return j, nil
}

// mayBegin lets a run that was taken up alone begin no step: it is suspended
// where the next one would begin, and goes on when the controller sends it.
func (a *Agent) mayBegin(id string) func() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.running[id]
	if r == nil || !r.alone {
		return nil
	}
	return func() error {
		r.stop(errLapsed)
		return errLapsed
	}
}

func (a *Agent) failed(j job.Job, status job.Status, err error) job.Report {
	now := a.Now()
	p := &job.Problem{Kind: fault.KindOf(err), Message: err.Error()}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		p.Hint = e.Hint
	}
	return job.Report{JobID: j.ID, Fence: j.Fence, Kind: j.Kind, Agent: a.Identity.Name, Status: status, Error: p, Started: now, Ended: now}
}

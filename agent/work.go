package agent

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// work checks a job against the agent's own limits and carries it out. A panic
// in what came from outside ends the job, not the agent.
func (a *Agent) work(ctx context.Context, j job.Job) (report job.Report) {
	started := a.Now()
	defer func() {
		if r := recover(); r != nil {
			status := job.Failed
			if j.Kind == job.Run {
				status = job.Unknown
			}
			report = a.failed(j, status, fault.New(fault.Internal, "this agent has a bug: %v", r))
		}
		report.Started, report.Ended = started, a.Now()
		a.bound(&report)
	}()
	if !j.Deadline.IsZero() && j.Kind != job.Run {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, j.Deadline)
		defer cancel()
	}
	if owner := cmp.Or(j.Target.Entity.Agent, j.Target.Entity.ID); owner != a.Identity.Name {
		return a.failed(j, job.Refused, fault.New(fault.Denied, "%s is reached by agent %q, and this is %s", j.Target.Entity.ID, owner, a.Identity.Name))
	}
	rb, err := a.runbook(j)
	if err != nil {
		return a.failed(j, job.Failed, err)
	}
	if err := a.Limits.Allow(j, rb); err != nil {
		return a.failed(j, job.Refused, err)
	}
	redactor := redact.NewGrowing(a.Redactor)
	runner, err := a.reach(ctx, j, redactor)
	if err != nil {
		return a.failed(j, job.Failed, err)
	}
	report = job.Report{JobID: j.ID, Fence: j.Fence, Kind: j.Kind, Agent: a.Identity.Name, Status: job.Done}
	if err := a.do(ctx, j, rb, way{runner, engine.Learned(a.Secrets, redactor)}, &report); err != nil {
		why := a.failed(j, job.Failed, err)
		report.Status, report.Error = why.Status, why.Error
		if j.Kind == job.Run && (report.Run == nil || report.Run.Status != runbooks.RunFailed) {
			report.Status = job.Unknown // the journal failed in the middle; see engine.Run
		}
	}
	return report
}

// reach opens the target with the gate that the kind of job allows. Everything
// but a run only reads.
func (a *Agent) reach(ctx context.Context, j job.Job, redactor remote.Redactor) (remote.Runner, error) {
	transport, err := a.Reach.Reach(ctx, j.Target)
	if err != nil {
		return nil, err
	}
	gate := a.Limits.Gate()
	if j.Kind != job.Run {
		gate = remote.Gates(remote.ReadOnly(), gate)
	}
	return remote.Open(transport, remote.Options{Name: j.Target.Entity.ID, Gate: gate, Redactor: redactor, Audit: a.Audit}), nil
}

// runbook parses the runbook of a job that has one. The digest is what people
// approved and what will be signed, so the bytes must be its own.
func (a *Agent) runbook(j job.Job) (*runbooks.Runbook, error) {
	var spec job.PlanSpec
	switch {
	case j.Kind == job.Plan && j.Plan != nil:
		spec = *j.Plan
	case j.Kind == job.Run && j.Run != nil:
		spec = j.Run.PlanSpec
	default:
		return nil, nil //nolint:nilnil // such a job has none
	}
	known := runbooks.Shelf{}
	for _, doc := range spec.Called {
		rb, err := a.parse(doc, known)
		if err != nil {
			return nil, err
		}
		known.Put(rb)
	}
	return a.parse(spec.Runbook, known)
}

// parse reads a runbook that may call the known ones, which it pins by their digests.
func (a *Agent) parse(doc job.Document, known runbooks.Shelf) (*runbooks.Runbook, error) {
	if err := doc.Verify(); err != nil {
		return nil, err
	}
	rb, err := runbooks.Parse(doc.Name, doc.Body, runbooks.ParseOptions{
		Decoders: decoders(a.Actions), Probes: diagnostics.SpecsOf(a.Probes), Called: known.Find, Language: &a.language,
	})
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "read runbook %s", doc.Name)
	}
	if rb.Digest != doc.Digest {
		return nil, fault.New(fault.Denied, "runbook %s has another digest than the job says", doc.Name)
	}
	return rb, nil
}

func decoders(actions []engine.Action) []runbooks.Decoder {
	out := make([]runbooks.Decoder, 0, len(actions))
	for _, act := range actions {
		out = append(out, act)
	}
	return out
}

// way is the way to the target of a job, and the secrets that may go there.
type way struct {
	remote.Runner
	secrets engine.Secrets
}

func (a *Agent) do(ctx context.Context, j job.Job, rb *runbooks.Runbook, r way, report *job.Report) error {
	switch {
	case j.Kind == job.Diagnose && j.Diagnose != nil:
		return a.diagnose(ctx, j, r, report)
	case j.Kind == job.Measure && j.Measure != nil:
		return a.measure(ctx, j, r, report)
	case j.Kind == job.Check && j.Check != nil:
		return a.check(ctx, j, r, report)
	case j.Kind == job.Plan && j.Plan != nil:
		plan, err := engine.Plan(ctx, r, binding(rb, j, *j.Plan), a.deps(j, nil, r.secrets))
		if err == nil {
			report.Plan = &plan
		}
		return err
	case j.Kind == job.Run && j.Run != nil:
		deps := a.deps(j, jobJournal{a.Journal, j.ID}, r.secrets)
		deps.MaxHold, deps.MayBegin = j.Run.MaxHold, a.mayBegin(j.ID)
		result, err := engine.Resume(ctx, r, binding(rb, j, j.Run.PlanSpec), engine.Approved{Digest: j.Run.PlanDigest, Plan: j.Run.Plan, By: j.Run.People()}, deps)
		if result.Status != "" {
			report.Run = &result
		}
		return err
	}
	return fault.New(fault.Invalid, "this agent does not know jobs of kind %q", j.Kind).WithHint("update the agent")
}

func (a *Agent) collector(j job.Job, budget time.Duration) *diagnostics.Collector {
	p := a.progressOf(j)
	return &diagnostics.Collector{Probes: a.Probes, Now: a.Now, Budget: budget, OnProbe: p.probeBegan, OnProbeEnd: p.probeEnded}
}

func (a *Agent) diagnose(ctx context.Context, j job.Job, r remote.Runner, report *job.Report) error {
	var causes []*diagnostics.Cause
	for _, doc := range j.Diagnose.Causes {
		c, err := a.cause(doc)
		if err != nil {
			return err
		}
		causes = append(causes, c)
	}
	subject := diagnostics.Subject{Entity: j.Target.Entity, Hints: j.Diagnose.Hints, Alerts: j.Diagnose.Alerts, Onset: j.Diagnose.OnsetAt}
	facts, err := a.collector(j, j.Diagnose.Budget).Collect(ctx, r, causes, subject)
	report.Facts = facts
	if errors.Is(err, context.DeadlineExceeded) && len(facts) > 0 {
		return nil // what was not read in time says so
	}
	return err
}

// maxCauses bounds how many parsed causes an agent keeps; a catalogue has some
// hundred at most.
const maxCauses = 1000

// cause parses a cause that came with a job. The same file comes with every
// diagnosis, and compiling all of them takes longer than the way from the alert
// to the server, so what was parsed is kept by its digest.
func (a *Agent) cause(doc job.Document) (*diagnostics.Cause, error) {
	if err := doc.Verify(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	c, known := a.causes[doc.Digest]
	a.mu.Unlock()
	if known {
		return c, nil
	}
	c, err := diagnostics.ParseCause(doc.Name, doc.Body, a.Probes)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "read cause %s", doc.Name)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.causes == nil || len(a.causes) >= maxCauses {
		a.causes = map[string]*diagnostics.Cause{}
	}
	a.causes[doc.Digest] = c
	return c, nil
}

func (a *Agent) deps(j job.Job, jl engine.Journal, secrets engine.Secrets) engine.Deps {
	roots := a.Limits.CleanupRoots
	if roots == nil {
		roots = guard.DefaultCleanupRoots()
	}
	deps := engine.Deps{
		CommandOutlives: a.CommandOutlives,
		Actions:         a.Actions, Probes: diagnostics.Reader{Probes: a.Probes, Now: a.Now}, Specs: diagnostics.SpecsOf(a.Probes), Journal: jl, Now: a.Now, CleanupRoots: roots, ManagedFiles: a.Limits.ManagedFiles,
		Secrets: secrets, Gate: a.Limits.Gate(), Logger: a.Logger, OnEvent: a.progressOf(j).engineEvent,
	}
	if j.Target.Local() {
		deps.Heard = a.lastHeard
	}
	return deps
}

func binding(rb *runbooks.Runbook, j job.Job, spec job.PlanSpec) engine.Binding {
	b := engine.Binding{Runbook: rb, Entity: j.Target.Entity, Given: spec.Inputs, Target: j.Target.Entity}
	if h := spec.Hypothesis; h != nil && h.Cause != "" {
		object, evidence := map[string]any{}, map[string]any{}
		for k, v := range h.Object {
			object[k] = v
		}
		for id, truth := range h.Evidence {
			evidence[id] = string(truth)
		}
		b.Hypothesis = map[string]any{"cause": h.Cause, "entity": h.Entity, "band": string(h.Band), "object": object, "evidence": evidence}
	}
	return b
}

// jobJournal is the journal as the engine sees it: one job's records.
type jobJournal struct {
	j  *journal.Journal
	id string
}

// Append implements engine.Journal.
func (jj jobJournal) Append(ctx context.Context, r engine.Record) error {
	return jj.j.Append(ctx, journal.Entry{
		Job: jj.id, Fence: jj.j.HighestFence(jj.id), Step: r.Step, Attempt: r.Attempt, Kind: journal.Kind(r.Kind), At: r.At, Data: r.Data,
	})
}

// Records implements engine.Journal.
func (jj jobJournal) Records() ([]engine.Record, error) {
	entries, err := jj.j.Job(jj.id)
	if err != nil {
		return nil, err
	}
	var records []engine.Record
	for _, e := range entries {
		switch e.Kind {
		case journal.Plan, journal.Intent, journal.Outcome, journal.Verified, journal.UndoIntent, journal.UndoOutcome,
			journal.Decided, journal.Leaving, journal.Left:
			records = append(records, engine.Record{Step: e.Step, Attempt: e.Attempt, Kind: engine.RecordKind(e.Kind), At: e.At, Data: e.Data})
		case journal.Lease, journal.Report, journal.Accepted:
		}
	}
	return records, nil
}

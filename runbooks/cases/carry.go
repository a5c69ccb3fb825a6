package cases

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Tools are what runbooks are carried out with.
type Tools struct {
	Actions []engine.Action
	Specs   runbooks.ProbeSpecs
	// Probes returns the reader of probes that takes its times from now.
	Probes func(now func() time.Time) (engine.ProbeReader, error)
	// Secrets are those of the real host; a recorded one has stand-ins. nil is none.
	Secrets engine.Secrets
	// Gate refuses what an agent would refuse; see engine.Deps.
	Gate remote.Gate
}

// Server is a host with its own time: a recording.Recorder or a recording.Replay.
type Server interface {
	remote.Runner
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) bool
}

// Bound is a runbook that is bound to a case and a server.
type Bound struct {
	server  Server
	binding engine.Binding
	deps    engine.Deps
	steps   *verifying
	plan    runbooks.Plan
}

// Bind binds the runbook to what is given and to the server.
func Bind(given *Given, rb *runbooks.Runbook, server Server, tools Tools) (*Bound, error) {
	probes, err := tools.Probes(server.Now)
	if err != nil {
		return nil, err
	}
	b := &Bound{server: server, binding: given.binding(rb), steps: &verifying{}}
	b.deps = engine.Deps{
		Actions: tools.Actions, Probes: probes, Specs: tools.Specs, Journal: &memory{}, Now: server.Now, Sleep: server.Sleep,
		OnEvent: b.steps.see, CleanupRoots: given.CleanupRoots, ManagedFiles: given.ManagedFiles,
		Secrets: tools.Secrets, Gate: tools.Gate,
	}
	return b, nil
}

// Plan makes the plan. It only reads.
func (b *Bound) Plan(ctx context.Context) (runbooks.Plan, error) {
	var err error
	b.plan, err = engine.Plan(ctx, b.server, b.binding, b.deps)
	return b.plan, err
}

// CarryOut does what Plan has returned, once. Its journal is in memory: a run
// whose process is killed is not taken up again.
func (b *Bound) CarryOut(ctx context.Context, event func(engine.Event)) (runbooks.RunResult, error) {
	deps := b.deps
	deps.OnEvent = func(e engine.Event) {
		b.steps.see(e)
		if event != nil {
			event(e)
		}
	}
	return engine.Run(ctx, b.server, b.binding, engine.Approved{Digest: b.plan.Digest, Plan: &b.plan, By: everybody(b.plan.Approvals)}, deps)
}

// Observed is what came of a plan.
func Observed(plan runbooks.Plan) Expect {
	e := Expect{Refused: plan.Refused}
	for _, s := range plan.Steps {
		e.Steps = append(e.Steps, PlannedStep{ID: s.ID, Noop: s.Noop, Skipped: s.Skipped != ""})
	}
	return e
}

// ObservedRun is how a plan was carried out.
func ObservedRun(result runbooks.RunResult, err error) *Run {
	run := &Run{Status: string(result.Status)}
	if err != nil {
		run.Error = err.Error()
	}
	for _, s := range result.Steps {
		run.Steps = append(run.Steps, RunStep{s.ID, string(s.Status)})
	}
	return run
}

// verifying knows whether a step is being verified.
type verifying struct {
	mu    sync.Mutex // guards below
	steps map[string]bool
}

func (v *verifying) see(e engine.Event) {
	if e.Kind != "step" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.steps == nil {
		v.steps = map[string]bool{}
	}
	delete(v.steps, e.Step)
	if e.Status == runbooks.StepVerifying {
		v.steps[e.Step] = true
	}
}

func (v *verifying) now() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.steps) > 0
}

// memory is a journal that is gone with its process.
type memory struct {
	mu      sync.Mutex // guards below
	records []engine.Record
}

// Append implements engine.Journal.
func (m *memory) Append(_ context.Context, r engine.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, r)
	return nil
}

// Records implements engine.Journal.
func (m *memory) Records() ([]engine.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records), nil
}

// everybody is as many people as a plan asks for: a case is not about who they are.
func everybody(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("person %d", i+1)
	}
	return names
}

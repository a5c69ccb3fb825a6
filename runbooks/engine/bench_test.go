package engine_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// chatty is a target whose every command prints a lot at once.
type chatty struct {
	remote.Runner
	output []byte
}

func (chatty) Target() string { return "here" }

func (c chatty) Run(context.Context, remote.Command) (remote.Result, error) {
	return remote.Result{Stdout: c.output}, nil
}

// forgetful is a journal that keeps nothing.
type forgetful struct{ records int }

func (f *forgetful) Append(context.Context, engine.Record) error { f.records++; return nil }
func (f *forgetful) Records() ([]engine.Record, error)           { return nil, nil }

// BenchmarkTenThousandSteps carries out a run of 10,000 steps, each of which
// prints 16 KiB, and reports what the run holds when it is over.
func BenchmarkTenThousandSteps(b *testing.B) {
	specs := probes{read: func(string) (map[string]any, error) { return map[string]any{"n": int64(1)}, nil }}
	rb, err := runbooks.Parse("x.yaml", []byte(`apiVersion: secondline/v1
kind: Runbook
metadata: {name: many, title: Many steps}
spec:
  limits: {deadline: 24h}
  probes: {one: {probe: file.lines, with: {path: /x}}}
  steps:
    - id: outer
      foreach: {as: a, type: int, in: lists.range(100), max: 100}
      steps:
        - id: inner
          foreach: {as: b, type: int, in: lists.range(100), max: 100}
          steps:
            - {id: act, run: [x, "${each.a}", "${each.b}"], timeout: 2s, verify: {that: one.n == 1, within: 1s}, undo: none}
`), runbooks.ParseOptions{Decoders: decoders(actions.All()), Probes: specs})
	if err != nil {
		b.Fatal(err)
	}
	target := chatty{output: make([]byte, 16<<10)}
	host := entity.Entity{ID: "here", Kind: entity.Host, Address: "127.0.0.1"}
	binding := engine.Binding{Runbook: rb, Entity: host, Target: host}
	for b.Loop() {
		journal := &forgetful{}
		deps := engine.Deps{Actions: actions.All(), Probes: specs, Specs: specs, Journal: journal, Now: time.Now}
		plan, err := engine.Plan(b.Context(), target, binding, deps)
		if err != nil || len(plan.Steps) != 10_000 {
			b.Fatal(err, len(plan.Steps))
		}
		res, err := engine.Run(b.Context(), target, binding, engine.Approved{Digest: plan.Digest}, deps)
		if err != nil || res.Status != runbooks.RunVerified {
			b.Fatal(res.Status, res.Why, err)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB-held")
		b.ReportMetric(float64(journal.records), "records")
		runtime.KeepAlive(res)
		runtime.KeepAlive(plan)
	}
}

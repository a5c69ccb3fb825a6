package journal_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/run"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// ofJob is a job's part of the journal as the engine needs it.
type ofJob struct {
	j   *journal.Journal
	job string
}

func (o ofJob) Append(ctx context.Context, r engine.Record) error {
	return o.j.Append(ctx, journal.Entry{
		Job: o.job, Fence: 1, Step: r.Step, Attempt: r.Attempt, Kind: journal.Kind(r.Kind), At: r.At, Data: r.Data,
	})
}

func (o ofJob) Records() ([]engine.Record, error) {
	entries, err := o.j.Job(o.job)
	records := []engine.Record{}
	for _, e := range entries {
		switch e.Kind {
		case journal.Plan, journal.Intent, journal.Outcome, journal.Verified, journal.UndoIntent, journal.UndoOutcome:
			records = append(records, engine.Record{Step: e.Step, Attempt: e.Attempt, Kind: engine.RecordKind(e.Kind), At: e.At, Data: e.Data})
		case journal.Lease, journal.Report, journal.Accepted:
		}
	}
	return records, err
}

// counter is a host whose only effect is to count, and its probe.
type counter struct {
	remote.Runner
	n int64
}

func (c *counter) Target() string { return "h1" }

func (c *counter) Run(context.Context, remote.Command) (remote.Result, error) {
	c.n++
	return remote.Result{}, nil
}

func (*counter) Names() []string { return []string{"count"} }

func (*counter) Fields(string) (in, out []expr.Field, ok bool) {
	return nil, []expr.Field{{Name: "n", Type: expr.Int}}, true
}

func (c *counter) Read(context.Context, remote.Runner, string, map[string]string) (map[string]any, error) {
	return map[string]any{"n": c.n}, nil
}

// TestARunOnADiskThatFillsUpActsOnce gives the journal every possible amount
// of room, then a new process with enough of it.
func TestARunOnADiskThatFillsUpActsOnce(t *testing.T) {
	t.Parallel()
	const text = `
apiVersion: secondline/v1
kind: Runbook
metadata: {name: test, title: A test}
spec:
  probes: {count: {probe: count}}
  steps:
    - id: act
      run: [act]
      verify: {that: count.n >= 1}
      repeat: {ask: count.n >= 1}
      undo: none
`
	for room, full := int64(0), true; full; room += 13 {
		host := &counter{}
		rb, err := runbooks.Parse("t.yaml", []byte(text), runbooks.ParseOptions{Decoders: []runbooks.Decoder{run.Action{}}, Probes: host})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		disk := newSmallDisk(room).unsynced()
		j := open(t, dir, disk)
		d := engine.Deps{
			CommandOutlives: -1,
			Actions:         []engine.Action{run.Action{}}, Probes: host, Specs: host, Journal: ofJob{j, "job"}, Now: time.Now,
		}
		b := engine.Binding{Runbook: rb, Target: entity.Entity{ID: "h1"}}
		p, err := engine.Plan(t.Context(), host, b, d)
		if err != nil {
			t.Fatal(err)
		}
		res, err := engine.Run(t.Context(), host, b, engine.Approved{Digest: p.Digest}, d)
		full = err != nil
		if full && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		intents := strings.Count(kinds(t, j), "intent")
		if intents == 0 && host.n > 0 {
			t.Fatalf("room %d: it acted without an intent on disk", room)
		}
		_ = j.Close()
		j = open(t, dir, newSmallDisk(1<<20).unsynced())
		d.Journal = ofJob{j, "job"}
		res, err = engine.Resume(t.Context(), host, b, engine.Approved{Digest: p.Digest}, d)
		if err != nil || res.Status != runbooks.RunVerified || host.n != 1 {
			t.Fatalf("room %d: %s (%s), error %v, acted %d times", room, res.Status, res.Why, err, host.n)
		}
		_ = j.Close()
	}
}

func kinds(t *testing.T, j *journal.Journal) string {
	t.Helper()
	var all strings.Builder
	for _, e := range entriesOf(t, j, "job") {
		all.WriteString(string(e.Kind) + " ")
	}
	return all.String()
}

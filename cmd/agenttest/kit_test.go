// Package agenttest holds whole stories of agent and controller: a real agent
// with its journal, engine and runner, over real gRPC, against a real
// dispatcher on a real SQLite. It is apart because neither side may know the
// other's inside. Time is synctest's: leases and holds have their real lengths.
package agenttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/secondline-ops/secondline/agent"
	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/controller/dispatch"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is the controller's end.
type desk struct {
	t    *testing.T
	wire *wire
	db   store.Store
	ca   *job.CA
	d    *dispatch.Dispatcher
	srv  *job.Server
	done chan struct{}

	mu sync.Mutex // guards below
	// ended are the reports that ended their job, in order; delivered counts
	// every delivery.
	ended     []job.Report
	delivered map[string]int
	changed   chan struct{} // closed with the next report
	events    []job.Event
	before    func(r job.Report) error // may refuse a report
	after     func(r job.Report)       // runs when it is stored, before it is accepted
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	ca, err := job.OpenCA(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	k := &desk{t: t, wire: &wire{}, db: db, ca: ca, delivered: map[string]int{}, changed: make(chan struct{})}
	k.start(db)
	t.Cleanup(k.stop)
	return k
}

func (k *desk) logger() *slog.Logger { return slog.New(slog.NewTextHandler(k.t.Output(), nil)) }

func (k *desk) start(db dispatch.Store) {
	k.t.Helper()
	k.d = dispatch.New(dispatch.Options{Store: db, CA: k.ca, Receiver: k, Controller: "c1", Now: time.Now, Logger: k.logger()})
	srv, err := job.NewServer(job.ServerOptions{CA: k.ca, Backend: k.d, Controller: "c1", Logger: k.logger()})
	if err != nil {
		k.t.Fatal(err)
	}
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	k.wire.mu.Lock()
	k.wire.listener = l
	k.wire.mu.Unlock()
	k.srv, k.done = srv, make(chan struct{})
	go func() {
		defer close(k.done)
		if err := srv.Serve(l); err != nil {
			k.t.Error(err)
		}
	}()
}

// stop ends the controller as SIGTERM does.
func (k *desk) stop() {
	if err := k.d.Drain(context.WithoutCancel(k.t.Context())); err != nil {
		k.t.Error(err)
	}
	k.srv.Stop()
	<-k.done
}

// Receive implements dispatch.Receiver with the fences of the store.
func (k *desk) Receive(ctx context.Context, _ string, r job.Report) error {
	k.mu.Lock()
	before, after := k.before, k.after
	k.delivered[r.JobID]++
	k.mu.Unlock()
	if before != nil {
		if err := before(r); err != nil {
			return err
		}
	}
	ended := false
	err := k.db.Update(ctx, func(tx store.Tx) (err error) {
		ended, err = tx.FinishJob(ctx, r.JobID, r.Fence, store.JobDone, []byte("{}"), time.Now())
		return err
	})
	if err != nil {
		return err
	}
	if ended {
		k.mu.Lock()
		k.ended = append(k.ended, r)
		close(k.changed)
		k.changed = make(chan struct{})
		k.mu.Unlock()
	}
	if after != nil {
		after(r)
	}
	return nil
}

// Progress implements dispatch.Receiver.
func (k *desk) StopAsked(context.Context, store.Job) (string, error) { return "", nil }

func (k *desk) Progress(_ context.Context, _ string, e job.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, e)
}

func (k *desk) hook(before func(job.Report) error, after func(job.Report)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.before, k.after = before, after
}

func (k *desk) reports() []job.Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]job.Report{}, k.ended...)
}

func (k *desk) deliveries(id string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.delivered[id]
}

// enrol makes the agent's identity.
func (k *desk) enrol(name string) job.Identity {
	k.t.Helper()
	text, err := k.d.EnrolToken(k.t.Context(), name, time.Hour)
	if err != nil {
		k.t.Fatal(err)
	}
	token, err := job.ParseJoinToken(text)
	if err != nil {
		k.t.Fatal(err)
	}
	id, _, err := job.Enroll(k.t.Context(), job.EnrollOptions{Address: "c1", Token: token, Name: name, Dial: k.wire.dial, Now: time.Now})
	if err != nil {
		k.t.Fatal(err)
	}
	return id
}

// order enqueues the job for the agent.
func (k *desk) order(agent string, j job.Job) {
	k.t.Helper()
	k.enqueue(agent, j, j.Deadline)
}

func (k *desk) enqueue(agent string, j job.Job, deadline time.Time) {
	k.t.Helper()
	payload, err := json.Marshal(j)
	if err != nil {
		k.t.Fatal(err)
	}
	err = k.db.Update(k.t.Context(), func(tx store.Tx) error {
		_, err := tx.Enqueue(k.t.Context(), store.Job{
			ID: j.ID, Queue: dispatch.Queue(agent), Kind: string(j.Kind), Key: j.ID, Payload: payload, State: store.JobQueued,
			RunAt: time.Now(), CreatedAt: time.Now(), Deadline: deadline,
		})
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
	k.d.Wake(agent)
}

// await waits until the job has ended, at most for two hours of the bubble's
// time, and returns its report.
func (k *desk) await(id string) job.Report {
	k.t.Helper()
	late := time.After(2 * time.Hour)
	for {
		k.mu.Lock()
		changed := k.changed
		k.mu.Unlock()
		for _, r := range k.reports() {
			if r.JobID == id {
				return r
			}
		}
		select {
		case <-changed:
		case <-late:
			k.t.Fatalf("no report of %s", id)
		}
	}
}

// do orders a job and waits for its report.
func (k *desk) do(j job.Job) job.Report {
	k.t.Helper()
	k.order("web1", j)
	return k.await(j.ID)
}

// house is an agent's machine: its folders, and the agent that runs there now.
type house struct {
	t     *testing.T
	k     *desk
	id    job.Identity
	state string
	dir   string // what runbooks work on
	disk  journal.FS
	edit  func(*agent.Options)

	journal *journal.Journal
	cancel  context.CancelFunc
	done    chan error
}

func newHouse(t *testing.T, k *desk) *house {
	t.Helper()
	return &house{t: t, k: k, id: k.enrol("web1"), state: t.TempDir(), dir: t.TempDir(), disk: quick{}}
}

// quick is the real disk without its fsyncs: kills here are of processes, not
// of machines.
type quick struct{ journal.Disk }

// Lock does not lock: a child that another test forks holds the lock for a
// moment, and the clock of a bubble does not wait for it.
func (quick) Lock(dir string) (io.Closer, error) { return io.NopCloser(nil), os.MkdirAll(dir, 0o700) }

func (quick) SyncDir(string) error { return nil }

func (q quick) Append(path string) (journal.File, error) {
	f, err := q.Disk.Append(path)
	return quickFile{f}, err
}

type quickFile struct{ journal.File }

func (quickFile) Sync() error { return nil }

type nothingSecret struct{}

func (nothingSecret) Redact(text []byte) []byte { return text }

// here is the way to this machine.
type here struct{}

func (here) Reach(context.Context, job.Target) (remote.Transport, error) { return local.New(), nil }

// start starts the agent.
func (h *house) start() {
	h.t.Helper()
	j, err := journal.Open(h.state, journal.Options{FS: h.disk})
	if err != nil {
		h.t.Fatal(err)
	}
	o := agent.Options{
		CommandOutlives: -1,
		Identity:        h.id, Addresses: []string{"c1"}, Journal: j, Probes: probes(h.t), Actions: actions.All(),
		Limits: guard.Limits{Mode: guard.Act}, Reach: here{}, Redactor: nothingSecret{}, Dial: h.k.wire.dial, Now: time.Now,
		Version: "test", Host: "web1", Logger: h.k.logger(),
	}
	if h.edit != nil {
		h.edit(&o)
	}
	a, err := agent.New(o)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	h.journal, h.cancel, h.done = j, cancel, make(chan error, 1)
	go func() { h.done <- errors.Join(a.Run(ctx), j.Close()) }()
}

// stop ends the agent as SIGTERM does.
func (h *house) stop() {
	h.t.Helper()
	h.cancel()
	if err := <-h.done; err != nil {
		h.t.Error(err)
	}
}

// lines returns how often a step acted.
func (h *house) lines(name string) int {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

func (h *house) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) document(name, text string) job.Document {
	body := []byte(strings.ReplaceAll(text, "DIR", h.dir))
	sum := sha256.Sum256(body)
	return job.Document{Name: name, Digest: "sha256:" + hex.EncodeToString(sum[:]), Body: body}
}

func target() job.Target {
	return job.Target{Entity: entity.Entity{ID: "web1", Kind: entity.Host, Address: "127.0.0.1"}}
}

// twoSteps acts twice; each step leaves a line for every time it acted.
const twoSteps = `
apiVersion: secondline/v1
kind: Runbook
metadata: {name: two-steps, title: Two steps}
spec:
  limits: {deadline: 2h}
  probes:
    one: {probe: file.lines, with: {path: DIR/one}}
    two: {probe: file.lines, with: {path: DIR/two}}
  steps:
    - id: first
      run: [sh, -c, 'echo acted >> "$1"', sh, DIR/one]
      verify: {that: one.n >= 1, within: 10m, hold: HOLD}
      repeat: {ask: one.n >= 1}
      undo: {run: [sh, -c, 'echo undone >> "$1"', sh, DIR/one-undone]}
    - id: second
      run: [sh, -c, 'echo acted >> "$1"', sh, DIR/two]
      verify: {that: two.n >= 1, within: 10m}
      repeat: {ask: two.n >= 1}
      undo: {run: [sh, -c, 'echo undone >> "$1"', sh, DIR/two-undone]}
`

func runbook(hold string) string { return strings.ReplaceAll(twoSteps, "HOLD", hold) }

func (h *house) planJob(id, text string) job.Job {
	return job.Job{ID: id, Kind: job.Plan, Target: target(), Plan: &job.PlanSpec{Runbook: h.document("rb.yaml", text)}}
}

// runJob has the runbook planned, and returns the job that carries the plan out.
func (h *house) runJob(id, text string) job.Job {
	h.t.Helper()
	plan := h.k.do(h.planJob("plan-of-"+id, text))
	if plan.Status != job.Done || plan.Plan == nil {
		h.t.Fatalf("no plan: %+v", plan.Error)
	}
	return job.Job{ID: id, Kind: job.Run, Target: target(), Run: &job.RunSpec{
		PlanSpec: job.PlanSpec{Runbook: h.document("rb.yaml", text)}, PlanDigest: plan.Plan.Digest, Plan: plan.Plan, ApprovedBy: []string{"ada"},
	}}
}

// expect checks how a run ended, and how often its steps acted.
func (h *house) expect(r job.Report, status runbooks.RunStatus, one, two int) {
	h.t.Helper()
	if r.Run == nil {
		h.t.Fatalf("the report is %s, %+v", r.Status, r.Error)
	}
	if r.Status != job.Done || r.Run.Status != status {
		h.t.Errorf("the report is %s, the run %s (%s), want %s", r.Status, r.Run.Status, r.Run.Why, status)
	}
	if h.lines("one") != one || h.lines("two") != two {
		h.t.Errorf("one acted %d times, two %d times; want %d and %d", h.lines("one"), h.lines("two"), one, two)
	}
}

// probes has file.lines, which counts; and crash, which panics.
func probes(t *testing.T) *diagnostics.ProbeSet {
	t.Helper()
	set, err := diagnostics.NewProbeSet([]diagnostics.Probe{fileLines{}, crash{}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type fileLines struct{}

func (fileLines) Spec() diagnostics.Spec {
	return diagnostics.Spec{
		Name: "file.lines", Title: "Lines of a file", Inputs: []expr.Field{{Name: "path", Type: expr.String, Required: true}},
		Outputs: []expr.Field{{Name: "n", Type: expr.Int}},
	}
}

func (fileLines) Read(ctx context.Context, r remote.Runner, args diagnostics.Args) ([]diagnostics.Raw, error) {
	rec := diagnostics.Record(r, time.Now)
	rec.File(ctx, "file", args["path"], 1<<20)
	return rec.Raws(), nil
}

func (fileLines) Parse(raws []diagnostics.Raw, _ diagnostics.Args) (diagnostics.Value, diagnostics.Status, error) {
	raw, _ := diagnostics.FindRaw(raws, "file")
	switch raw.Status {
	case diagnostics.OK, diagnostics.Absent:
		return diagnostics.Value{"n": int64(bytes.Count(raw.Data, []byte("\n")))}, diagnostics.OK, nil
	case diagnostics.Failed, diagnostics.TimedOut, diagnostics.Truncated, diagnostics.Denied:
	}
	return nil, raw.Status, fault.New(fault.Transient, "%s", raw.Error)
}

type crash struct{ fileLines }

func (crash) Spec() diagnostics.Spec {
	s := fileLines{}.Spec()
	s.Name = "crash"
	return s
}

func (crash) Read(context.Context, remote.Runner, diagnostics.Args) ([]diagnostics.Raw, error) {
	panic("a bug in a probe")
}

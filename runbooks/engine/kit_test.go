package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// machine is this machine as a target: real processes, real files. It keeps
// what it was asked, and can fail a command after it has run.
type machine struct {
	remote.Runner

	mu       sync.Mutex // guards below
	commands []remote.Command
	after    func(cmd remote.Command) error // what happens behind a command that ran
	before   func(cmd remote.Command) error // what happens in place of a command
}

func newMachine() *machine {
	return &machine{Runner: remote.Open(local.New(), remote.Options{Gate: remote.AllowAll(), Redactor: nothingSecret{}})}
}

// nothingSecret is the redactor of a host without secrets.
type nothingSecret struct{}

func (nothingSecret) Redact(text []byte) []byte { return text }

func (m *machine) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	m.mu.Lock()
	m.commands = append(m.commands, cmd)
	before, after := m.before, m.after
	m.mu.Unlock()
	if before != nil {
		if err := before(cmd); err != nil {
			return remote.Result{}, err
		}
	}
	res, err := m.Runner.Run(ctx, cmd)
	if err != nil {
		return res, err
	}
	if after != nil {
		err = after(cmd)
	}
	return res, err
}

func (m *machine) writes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, c := range m.commands {
		if c.Effect != remote.Read {
			n++
		}
	}
	return n
}

// probes reads one probe, "file.lines", for real, or what a test scripts.
type probes struct {
	read func(path string) (map[string]any, error)
}

func (p probes) Names() []string { return []string{"file.lines"} }

func (p probes) Fields(probe string) (inputs, outputs []expr.Field, ok bool) {
	if probe != "file.lines" {
		return nil, nil, false
	}
	return []expr.Field{{Name: "path", Type: expr.String, Required: true}}, []expr.Field{
		{Name: "n", Type: expr.Int}, {Name: "bytes", Type: expr.Int, Unit: expr.Bytes, Optional: true},
	}, true
}

func (p probes) Read(_ context.Context, _ remote.Runner, _ string, args map[string]string) (map[string]any, error) {
	if p.read != nil {
		return p.read(args["path"])
	}
	data, err := os.ReadFile(args["path"])
	if errors.Is(err, os.ErrNotExist) {
		return map[string]any{"n": int64(0)}, nil
	}
	return map[string]any{"n": int64(bytes.Count(data, []byte("\n")))}, err
}

var errCrash = errors.New("the agent was killed")

// memory is a journal that dies at its n-th record, or at one that a test
// chooses: with it on disk or not. The rules are those of agent/journal.
type memory struct {
	mu      sync.Mutex // branches write beside each other
	records []engine.Record
	dieAt   int // 0: never
	dieOn   func(engine.Record) bool
	written bool
	appends int
}

// revive lets an agent that was killed write again.
func (m *memory) revive() { m.dieAt, m.dieOn, m.appends = 0, nil, 0 }

func (m *memory) Append(_ context.Context, r engine.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.appends++
	if m.dieAt == 0 && m.dieOn != nil && m.dieOn(r) {
		m.dieAt = m.appends
	}
	die := m.dieAt > 0 && m.appends >= m.dieAt
	if m.dieAt > 0 && m.appends > m.dieAt {
		return fmt.Errorf("%w, and went on", errCrash)
	}
	for _, old := range m.records {
		same := old.Step == r.Step && old.Attempt == r.Attempt && old.Kind == r.Kind
		if same && (r.Kind == engine.RecordIntent || r.Kind == engine.RecordUndoIntent) {
			return errors.New("a second intent for the same attempt")
		}
	}
	if !json.Valid(r.Data) {
		return errors.New("no JSON")
	}
	if !die || m.written {
		m.records = append(m.records, r)
	}
	if die {
		return errCrash
	}
	return nil
}

func (m *memory) Records() ([]engine.Record, error) { return slices.Clone(m.records), nil }

// world is a target, a journal and a runbook in a folder of their own.
type world struct {
	t       *testing.T
	dir     string
	machine *machine
	journal *memory
	probes  probes
	rb      *runbooks.Runbook
	known   runbooks.Shelf // that it may call
	deps    engine.Deps
	events  []engine.Event
}

// newWorld parses the steps with DIR standing for the folder. Behind a line
// "=== NAME" comes a runbook that those before it call, pinned by DIGEST-NAME.
func newWorld(t *testing.T, spec string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), machine: newMachine(), journal: &memory{}}
	w.deps = engine.Deps{
		CommandOutlives: -1,
		Actions:         actions.All(), Journal: w.journal, Now: time.Now,
		OnEvent: func(e engine.Event) { w.events = append(w.events, e) },
	}
	w.setProbes(probes{})
	w.parse(spec)
	return w
}

func (w *world) setProbes(p probes) { w.probes, w.deps.Probes, w.deps.Specs = p, p, p }

func (w *world) parse(spec string) {
	w.t.Helper()
	parts := strings.Split(spec, "\n=== ")
	w.known = runbooks.Shelf{}
	for _, part := range slices.Backward(parts[1:]) {
		name, called, _ := strings.Cut(part, "\n")
		w.known[name] = w.read(name, called)
	}
	w.rb = w.read("test", parts[0])
}

func (w *world) read(name, spec string) *runbooks.Runbook {
	w.t.Helper()
	text := "apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: " + name + ", title: A test}\nspec:\n" +
		strings.ReplaceAll(spec, "DIR", w.dir)
	for name, rb := range w.known {
		text = strings.ReplaceAll(text, "DIGEST-"+name, rb.Digest)
	}
	rb, err := runbooks.Parse(name+".yaml", []byte(text), runbooks.ParseOptions{
		Decoders: decoders(w.deps.Actions), Probes: w.probes, Called: w.known.Find,
	})
	if err != nil {
		w.t.Fatalf("%v\n%s", err, text)
	}
	return rb
}

func decoders(all []engine.Action) []runbooks.Decoder {
	out := []runbooks.Decoder{}
	for _, a := range all {
		out = append(out, a)
	}
	return out
}

func (w *world) binding() engine.Binding {
	host := entity.Entity{ID: "here", Kind: entity.Host, Address: "127.0.0.1"}
	return engine.Binding{Runbook: w.rb, Entity: host, Target: host}
}

func (w *world) plan() runbooks.Plan {
	w.t.Helper()
	p, err := engine.Plan(w.t.Context(), w.machine, w.binding(), w.deps)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) run(ctx context.Context) runbooks.RunResult {
	w.t.Helper()
	res, err := engine.Run(ctx, w.machine, w.binding(), engine.Approved{Digest: w.plan().Digest}, w.deps)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// lines returns how many lines a file of the folder has: how often its step acted.
func (w *world) lines(name string) int {
	data, err := os.ReadFile(w.dir + "/" + name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

func (w *world) status(res runbooks.RunResult, want runbooks.RunStatus, steps ...runbooks.StepStatus) {
	w.t.Helper()
	if res.Status != want {
		w.t.Errorf("the run is %s (%s), want %s", res.Status, res.Why, want)
	}
	got := []runbooks.StepStatus{}
	for _, s := range res.Steps {
		got = append(got, s.Status)
	}
	if !slices.Equal(got, steps) && len(steps) > 0 {
		w.t.Errorf("steps are %v, want %v (%s)", got, steps, res.Why)
	}
}

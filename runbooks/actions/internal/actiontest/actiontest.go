// Package actiontest lets the tests of actions play whole stories: a step is
// parsed, planned and run by the engine on this machine or on a strict fake,
// with a journal that dies where it is told to. Only tests import it.
package actiontest

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Host is a target that keeps what it was asked and can fail a command in
// place of running it, or behind it. Set its fields before the story begins.
type Host struct {
	remote.Runner
	Env    map[string]string               // added to every command: a world of its own for programs that read it
	Before func(cmd remote.Command) error  // what happens in place of a command; nil lets it run
	After  func(cmd remote.Command) error  // what happens behind a command that ran
	Answer func(cmd remote.Command) Answer // of a fake; nil runs commands on this machine

	mu       sync.Mutex // guards below
	commands []remote.Command
}

// Answer is what a fake says to a command. The zero Answer fails the test.
type Answer struct {
	Known  bool
	Result remote.Result
	Err    error
}

// Says is the answer of a command that ended with the exit status.
func Says(exit int, stdout string) Answer {
	return Answer{Known: true, Result: remote.Result{ExitCode: exit, Stdout: []byte(stdout)}}
}

// Local returns this machine: real processes, real files, the real redactor.
func Local() *Host {
	return &Host{Runner: remote.Open(local.New(), remote.Options{Gate: remote.AllowAll(), Redactor: redact.New()})}
}

// Fake returns a machine whose commands are answered by the function; its files
// are those of this machine. A command without an answer fails the test.
func Fake(t *testing.T, answer func(cmd remote.Command) Answer) *Host {
	t.Helper()
	h := Local()
	h.Answer = func(cmd remote.Command) Answer {
		a := answer(cmd)
		if !a.Known && a.Err == nil {
			t.Errorf("unscripted: %q", cmd.Argv)
			a.Err = errors.New("unscripted")
		}
		return a
	}
	return h
}

// Run implements remote.Runner.
func (h *Host) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if len(h.Env) > 0 {
		env := maps.Clone(h.Env)
		maps.Copy(env, cmd.Env)
		cmd.Env = env
	}
	h.mu.Lock()
	h.commands = append(h.commands, cmd)
	h.mu.Unlock()
	if h.Before != nil {
		if err := h.Before(cmd); err != nil {
			return remote.Result{}, err
		}
	}
	res, err := h.run(ctx, cmd)
	if err == nil && h.After != nil {
		err = h.After(cmd)
	}
	return res, err
}

func (h *Host) run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if h.Answer == nil {
		return h.Runner.Run(ctx, cmd)
	}
	if err := cmd.Validate(); err != nil {
		return remote.Result{}, err
	}
	a := h.Answer(cmd)
	return a.Result, a.Err
}

// Writes returns the commands so far that may have changed something.
func (h *Host) Writes() []remote.Command {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.commands), func(c remote.Command) bool { return c.Effect == remote.Read })
}

// ErrCrash is what a journal says that has died.
var ErrCrash = errors.New("the agent was killed")

// Journal keeps everything, and from its record DieAt on (counted from 1; 0 is
// never) nothing more.
type Journal struct {
	DieAt   int
	records []engine.Record
}

// Append implements engine.Journal.
func (j *Journal) Append(_ context.Context, r engine.Record) error {
	if j.DieAt > 0 && len(j.records)+1 >= j.DieAt {
		return ErrCrash
	}
	j.records = append(j.records, r)
	return nil
}

// Records implements engine.Journal.
func (j *Journal) Records() ([]engine.Record, error) { return slices.Clone(j.records), nil }

// Probes are the probes of these stories: file.text reads a file of this machine.
type Probes struct{}

// Names implements runbooks.ProbeSpecs.
func (Probes) Names() []string { return []string{"file.text"} }

// Fields implements runbooks.ProbeSpecs.
func (Probes) Fields(probe string) (in, out []expr.Field, ok bool) {
	return []expr.Field{{Name: "path", Type: expr.String, Required: true}},
		[]expr.Field{{Name: "exists", Type: expr.Bool}, {Name: "text", Type: expr.String}}, probe == "file.text"
}

// Read implements engine.ProbeReader.
func (Probes) Read(_ context.Context, _ remote.Runner, _ string, args map[string]string) (map[string]any, error) {
	text, err := os.ReadFile(args["path"])
	if errors.Is(err, os.ErrNotExist) {
		return map[string]any{"exists": false, "text": ""}, nil
	}
	return map[string]any{"exists": true, "text": string(text)}, err
}

// Story is a runbook on a host.
type Story struct {
	T       *testing.T
	Host    *Host
	Journal *Journal
	Deps    engine.Deps
	Binding engine.Binding
}

// Parse reads a runbook whose spec is the given text, with its own indent of two.
func Parse(action engine.Action, spec string) (*runbooks.Runbook, error) {
	text := "apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: test, title: A test}\nspec:\n" + spec
	return runbooks.Parse("test.yaml", []byte(text), runbooks.ParseOptions{Decoders: []runbooks.Decoder{action}, Probes: Probes{}})
}

// New returns the story of a spec on the host; given are the values of its inputs.
func New(t *testing.T, action engine.Action, host *Host, spec string, given map[string]string) *Story {
	t.Helper()
	rb, err := Parse(action, spec)
	if err != nil {
		t.Fatalf("%v\n%s", err, spec)
	}
	s := &Story{T: t, Host: host, Journal: &Journal{}}
	s.Deps = engine.Deps{
		Actions: []engine.Action{action}, Probes: Probes{}, Specs: Probes{}, Journal: s.Journal, Now: time.Now, CommandOutlives: -1,
	}
	target := entity.Entity{ID: "h1", Kind: entity.Host, Address: "127.0.0.1"}
	s.Binding = engine.Binding{Runbook: rb, Entity: target, Target: target, Given: given}
	return s
}

// TryPlan plans.
func (s *Story) TryPlan() (runbooks.Plan, error) {
	return engine.Plan(s.T.Context(), s.Host, s.Binding, s.Deps)
}

// Plan plans, which must change nothing.
func (s *Story) Plan() runbooks.Plan {
	s.T.Helper()
	before := len(s.Host.Writes())
	p, err := s.TryPlan()
	if err != nil {
		s.T.Fatal(err)
	}
	if after := s.Host.Writes(); len(after) != before {
		s.T.Errorf("planning wrote: %+v", after[before:])
	}
	return p
}

// Run plans and runs.
func (s *Story) Run() runbooks.RunResult {
	s.T.Helper()
	return s.RunPlan(s.Plan())
}

// RunPlan runs a plan that was approved as it is.
func (s *Story) RunPlan(p runbooks.Plan) runbooks.RunResult {
	s.T.Helper()
	res, err := engine.Run(s.T.Context(), s.Host, s.Binding, engine.Approved{Digest: p.Digest, Plan: &p}, s.Deps)
	if err != nil {
		s.T.Fatal(err)
	}
	return res
}

// Crash runs with a journal that dies at its n-th record, and then resumes with
// one that lives.
func (s *Story) Crash(n int) runbooks.RunResult {
	s.T.Helper()
	p := s.Plan()
	s.Journal.DieAt = n
	approved := engine.Approved{Digest: p.Digest, Plan: &p}
	res, err := engine.Run(s.T.Context(), s.Host, s.Binding, approved, s.Deps)
	if err == nil {
		return res
	}
	if !errors.Is(err, ErrCrash) {
		s.T.Fatal(err)
	}
	s.Journal.DieAt = 0
	if res, err = engine.Resume(s.T.Context(), s.Host, s.Binding, approved, s.Deps); err != nil {
		s.T.Fatal(err)
	}
	return res
}

// Want complains about a run that ended in another way.
func (s *Story) Want(res runbooks.RunResult, status runbooks.RunStatus, because string) {
	s.T.Helper()
	reasons := []string{res.Why}
	for _, step := range res.Steps {
		reasons = append(reasons, step.Error)
	}
	why := strings.Join(reasons, " | ")
	if res.Status != status || !strings.Contains(why, because) {
		s.T.Errorf("the run is %s (%s), want %s because %q", res.Status, why, status, because)
	}
}

// Secrets are values by their names.
type Secrets map[string]string

// Has implements engine.Secrets.
func (s Secrets) Has(_ context.Context, name string) error {
	if _, ok := s[name]; !ok {
		return errors.New("no secret " + name)
	}
	return nil
}

// Get implements engine.Secrets.
func (s Secrets) Get(ctx context.Context, name string) (redact.Secret, error) {
	return redact.Secret(s[name]), s.Has(ctx, name)
}

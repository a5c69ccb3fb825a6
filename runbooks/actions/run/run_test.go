package run_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/run"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// recorder is a host that does nothing and remembers everything.
type recorder struct {
	remote.Runner
	commands []remote.Command
}

func (r *recorder) Target() string { return "h1" }

func (r *recorder) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	r.commands = append(r.commands, cmd)
	return remote.Result{}, nil
}

type forgetful struct{}

func (forgetful) Append(context.Context, engine.Record) error { return nil }

func (forgetful) Records() ([]engine.Record, error) { return nil, nil }

// one is a probe that always reads 1.
type one struct{}

func (one) Names() []string { return []string{"one"} }

func (one) Fields(probe string) (in, out []expr.Field, ok bool) {
	return nil, []expr.Field{{Name: "n", Type: expr.Int}}, probe == "one"
}

func (one) Read(context.Context, remote.Runner, string, map[string]string) (map[string]any, error) {
	return map[string]any{"n": int64(1)}, nil
}

func parse(part string) (*runbooks.Runbook, error) {
	return runbooks.Parse("test.yaml", []byte(`
apiVersion: secondline/v1
kind: Runbook
metadata: {name: test, title: A test}
spec:
  inputs:
    word: {type: string}
    argv: {type: argv, from: "entity.processes[0].start"}
  probes: {one: {probe: one}}
  steps:
    - id: act
      run: `+part+`
      as: app
      timeout: 7s
      verify: {that: one.n == 1}
      undo: none
`), runbooks.ParseOptions{Decoders: []runbooks.Decoder{run.Action{}}, Probes: one{}})
}

func TestEveryElementStaysOneElement(t *testing.T) {
	t.Parallel()
	hostile := "a; reboot $(id) `id` \"'"
	tests := []struct {
		part string
		want []string
	}{
		{`[prog, "${inputs.word}"]`, []string{"prog", hostile}},
		{`[prog, "--name=${inputs.word}", last]`, []string{"prog", "--name=" + hostile, "last"}},
		{`"${inputs.argv}"`, []string{"/opt/app", "--config", "a b"}},
		{`["${inputs.argv}", more]`, []string{"/opt/app", "--config", "a b", "more"}},
	}
	for _, tt := range tests {
		rb, err := parse(tt.part)
		if err != nil {
			t.Errorf("%s: %v", tt.part, err)
			continue
		}
		host := &recorder{}
		app := entity.Entity{ID: "app", Processes: []entity.Process{{Name: "app", Start: []string{"/opt/app", "--config", "a b"}}}}
		b := engine.Binding{Runbook: rb, Entity: app, Target: entity.Entity{ID: "h1"}, Given: map[string]string{"word": hostile}}
		d := engine.Deps{Actions: []engine.Action{run.Action{}}, Probes: one{}, Specs: one{}, Journal: forgetful{}, Now: time.Now, CommandOutlives: -1}
		p, err := engine.Plan(t.Context(), host, b, d)
		if err != nil {
			t.Fatal(err)
		}
		if len(host.commands) != 0 {
			t.Error("planning ran something")
		}
		if diff := cmp.Diff(tt.want, p.Steps[0].Argv); diff != "" {
			t.Errorf("%s: planned %s", tt.part, diff)
		}
		res, err := engine.Run(t.Context(), host, b, engine.Approved{Digest: p.Digest}, d)
		if err != nil || res.Status != runbooks.RunVerified || len(host.commands) != 1 {
			t.Fatalf("%s: %s (%s), error %v", tt.part, res.Status, res.Why, err)
		}
		got := host.commands[0]
		if diff := cmp.Diff(tt.want, got.Argv); diff != "" || got.As != "app" || got.Timeout.Seconds() != 7 || got.Effect != remote.Write || len(got.Env) != 0 {
			t.Errorf("%s: ran %s as %q", tt.part, diff, got.As)
		}
	}
}

func TestWhatIsNoArgvIsRefused(t *testing.T) {
	t.Parallel()
	for _, part := range []string{`rm -rf /`, `[]`, `[[a]]`, `{a: b}`, `"${inputs.word}"`, `["${inputs.word}"]`, `[a, "${nobody}"]`, `[sh, -c, "echo ${inputs.word}"]`} {
		if _, err := parse(part); err == nil {
			t.Errorf("%s was accepted", part)
		}
	}
}

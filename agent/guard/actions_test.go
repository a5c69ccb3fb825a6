package guard

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/file"
	"github.com/secondline-ops/secondline/runbooks/actions/run"
	"github.com/secondline-ops/secondline/runbooks/actions/truncatelog"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

type noProbes struct{}

func (noProbes) Names() []string { return nil }

func (noProbes) Fields(string) (in, out []expr.Field, ok bool) { return nil, nil, false }

func (noProbes) Read(context.Context, remote.Runner, string, map[string]string) (map[string]any, error) {
	return nil, errors.New("no probes here")
}

type oneProbe struct{ noProbes }

func (oneProbe) Names() []string { return []string{"one"} }

func (oneProbe) Fields(string) (in, out []expr.Field, ok bool) {
	return nil, []expr.Field{{Name: "v", Type: expr.Int}}, true
}

// forgetful is a journal for a run that nobody resumes.
type forgetful struct{}

func (forgetful) Append(context.Context, engine.Record) error { return nil }

func (forgetful) Records() ([]engine.Record, error) { return nil, nil }

// TestWhatTheGuardWouldRefuseIsNotPlanned: nobody is asked to approve it.
func TestWhatTheGuardWouldRefuseIsNotPlanned(t *testing.T) {
	t.Parallel()
	for step, want := range map[string]string{
		"run: [rm, -rf, /srv/x]\n      undo: none":                      "step act would be refused: ",
		"run: [touch, /tmp/x]\n      undo: {run: [rm, -rf, /tmp/x]}":    "the undo of step act would be refused: ",
		"run: [touch, /tmp/x]\n      undo: {run: [mv, /tmp/x, /tmp/y]}": "",
	} {
		rb, err := runbooks.Parse("t.yaml", []byte("apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: t, title: T}\nspec:\n"+
			"  probes:\n    x: {probe: one}\n  steps:\n    - id: act\n      effect: write\n      repeat: never\n      verify: {that: x.v == 1}\n      "+step+"\n"), runbooks.ParseOptions{Decoders: []runbooks.Decoder{run.Action{}}, Probes: oneProbe{}})
		if err != nil {
			t.Fatal(err)
		}
		d := engine.Deps{Actions: []engine.Action{run.Action{}}, Probes: oneProbe{}, Specs: oneProbe{}, Journal: forgetful{}, Now: time.Now, Gate: Limits{Mode: Act}.Gate()}
		runner := remote.Open(local.New(), remote.Options{Gate: remote.ReadOnly(), Redactor: redact.New()})
		p, err := engine.Plan(t.Context(), runner, engine.Binding{Runbook: rb, Target: entity.Entity{ID: "here"}}, d)
		if err != nil || !strings.HasPrefix(p.Refused, want) || (want == "") != (p.Refused == "") {
			t.Errorf("%s: refused %q, %v", step, p.Refused, err)
		}
	}
}

// TestActionsWorkWithinTheDefaultLimits: what the actions that work by scripts
// ask of a host passes the gate of an agent that may act, outside its clean-up
// roots too, and an undo does.
func TestActionsWorkWithinTheDefaultLimits(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]struct {
		part   string
		want   runbooks.RunStatus
		refute bool // by a condition that never holds
	}{
		"a line":                 {`file: {path: FILE, line: new}`, runbooks.RunVerified, false},
		"gone":                   {`file: {path: FILE, absent: true}`, runbooks.RunVerified, false},
		"a mode":                 {`file: {path: FILE, mode: 0600}`, runbooks.RunVerified, false},
		"a text, checked":        {`file: {path: FILE, content: "new\n", validate: [grep, -q, new, "${file}"]}`, runbooks.RunVerified, false},
		"a text, not accepted":   {`file: {path: FILE, content: "new\n", validate: [grep, -q, old, "${file}"]}`, runbooks.RunUndone, false},
		"a text, taken back":     {"file: {path: FILE, content: \"new\\n\"}", runbooks.RunUndone, true},
		"a log, its end kept":    {"truncate_log: {path: FILE, keep: 1KiB}\n      undo: none\n      preserve: none", runbooks.RunVerified, false},
		"a mode, and taken back": {"file: {path: FILE, mode: 0600}", runbooks.RunUndone, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			path, kept := filepath.Join(root, "x.conf"), filepath.Join(root, "kept")
			if err := os.WriteFile(path, []byte("old\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			all := []engine.Action{file.Action{Kept: kept}, truncatelog.Action{Kept: kept}}
			limits := Limits{Mode: Act, CleanupRoots: DefaultCleanupRoots()}
			runner := remote.Open(local.New(), remote.Options{Gate: limits.Gate(), Redactor: redact.New()})
			rb, err := runbooks.Parse("t.yaml", []byte("apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: t, title: T}\nspec:\n"+
				"  inputs:\n    path: {type: path}\n    never: {type: string, default: x}\n  steps:\n    - id: act\n      "+
				strings.ReplaceAll(step.part, "FILE", `"${inputs.path}"`)+"\n"), runbooks.ParseOptions{Decoders: []runbooks.Decoder{all[0], all[1]}, Probes: noProbes{}})
			if err != nil {
				t.Fatal(err)
			}
			if step.refute {
				rb.Steps[0].Verify = runbooks.Verify{That: `inputs.never == ""`, Within: 10 * time.Millisecond}
			}
			d := engine.Deps{
				Actions: all, Probes: noProbes{}, Specs: noProbes{}, Journal: forgetful{}, Now: time.Now, CommandOutlives: -1,
				CleanupRoots: []string{root},
			}
			b := engine.Binding{Runbook: rb, Target: entity.Entity{ID: "here"}, Given: map[string]string{"path": path}}
			p, err := engine.Plan(t.Context(), runner, b, d)
			if err != nil {
				t.Fatal(err)
			}
			res, err := engine.Run(t.Context(), runner, b, engine.Approved{Digest: p.Digest, Plan: &p}, d)
			if err != nil || res.Status != step.want {
				t.Errorf("%s (%s), %v, want %s", res.Status, res.Why, err, step.want)
			}
		})
	}
}

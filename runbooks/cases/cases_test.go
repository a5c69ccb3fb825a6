package cases_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/recording"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/cases"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// probes reads one probe, "file.lines", through the Runner.
type probes struct{}

func (probes) Names() []string { return []string{"file.lines"} }

func (probes) Fields(probe string) (inputs, outputs []expr.Field, ok bool) {
	return []expr.Field{{Name: "path", Type: expr.String, Required: true}}, []expr.Field{{Name: "n", Type: expr.Int}}, probe == "file.lines"
}

func (probes) Read(ctx context.Context, r remote.Runner, _ string, args map[string]string) (map[string]any, error) {
	data, _, err := r.ReadFile(ctx, args["path"], 1000)
	return map[string]any{"n": int64(strings.Count(string(data), "\n"))}, err
}

func tools() cases.Tools {
	return cases.Tools{
		Actions: actions.All(), Specs: probes{}, Probes: func(func() time.Time) (engine.ProbeReader, error) { return probes{}, nil },
	}
}

// book adds a line to a file and holds what it measures for an hour, which
// nobody waits for.
const book = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: add-line, title: Add a line}
spec:
  inputs:
    file: {type: path, from: hypothesis.object.file}
    most: {type: int, default: 2}
  limits: {deadline: 2h}
  probes:
    log: {probe: file.lines, with: {path: "${inputs.file}"}}
  require:
    - {that: log.n < inputs.most, because: it is full}
  steps:
    - id: look
      if: log.n > 100
      effect: read
      run: [uptime]
    - id: add
      run: [sh, -c, 'printf "line\n" >> "$1"', sh, "${inputs.file}"]
      verify: {that: log.n == 2, within: 1m, hold: HOLD}
      undo: none
`

func parse(t *testing.T, text string) *runbooks.Runbook {
	t.Helper()
	rb, err := runbooks.Parse("add-line.yaml", []byte(text), runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: probes{}})
	if err != nil {
		t.Fatal(err)
	}
	return rb
}

// record carries the runbook out on this machine, with a hold of no time.
func record(t *testing.T, lines string) (*cases.Case, []recording.Exchange) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	server := remote.Open(local.New(), remote.Options{Name: "db1", Gate: remote.AllowAll(), Redactor: redact.New()})
	rec := recording.Record(server, redact.New(), time.Now)
	c := &cases.Case{Given: cases.Given{
		Runbook: "add-line", Target: cases.HostOf(entity.Entity{ID: "db1", Kind: entity.Host}), Start: rec.Start(), Act: true,
		Hypothesis: &cases.Hypothesis{Cause: "x", Object: map[string]string{"file": file}},
	}}
	b, err := cases.Bind(&c.Given, parse(t, strings.ReplaceAll(book, "HOLD", "0s")), rec, tools())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := b.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Expect = cases.Observed(plan)
	if plan.Refused == "" {
		c.Expect.Run = cases.ObservedRun(b.CarryOut(t.Context(), nil))
	}
	return c, rec.Exchanges()
}

func try(t *testing.T, c *cases.Case, text string, host []recording.Exchange) cases.Result {
	t.Helper()
	result, err := cases.Test(t.Context(), c, parse(t, text), host, redact.New(), tools())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestARecordedRunPlaysBackWithoutWaiting(t *testing.T) {
	t.Parallel()
	c, host := record(t, "one\n")
	want := cases.Expect{
		Steps: []cases.PlannedStep{{ID: "look", Skipped: true}, {ID: "add"}},
		Run:   &cases.Run{Status: "verified", Steps: []cases.RunStep{{ID: "look", Status: "skipped"}, {ID: "add", Status: "verified"}}},
	}
	if diff := cmp.Diff(want, c.Expect); diff != "" {
		t.Fatalf("recorded (-want +got):\n%s", diff)
	}
	began := time.Now()
	for _, hold := range []string{"0s", "1h"} { // verification asks again what was recorded once
		if r := try(t, c, strings.ReplaceAll(book, "HOLD", hold), host); !r.OK() {
			t.Errorf("hold %s: %+v", hold, r)
		}
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it waited for %s", took)
	}
}

func TestARefusedPlanIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	c, host := record(t, "one\ntwo\n")
	if c.Expect.Refused == "" || c.Expect.Run != nil {
		t.Fatalf("recorded %+v", c.Expect)
	}
	if r := try(t, c, strings.ReplaceAll(book, "HOLD", "0s"), host); !r.OK() {
		t.Errorf("%+v", r)
	}
	// The precondition gone, the run would plan again, and nobody knows what it would read.
	r := try(t, c, strings.ReplaceAll(strings.ReplaceAll(book, "HOLD", "0s"), "log.n < inputs.most", "log.n < 100"), host)
	if r.OK() || !strings.Contains(r.Difference, "- ") || !strings.Contains(strings.Join(r.Unscripted, "\n"), "asked more often") {
		t.Errorf("%+v", r)
	}
}

func TestAnotherCommandFailsTheCase(t *testing.T) {
	t.Parallel()
	c, host := record(t, "one\n")
	r := try(t, c, strings.ReplaceAll(strings.ReplaceAll(book, "HOLD", "0s"), `"line\n"`, `"rule\n"`), host)
	if len(r.Unscripted) != 1 || !strings.Contains(r.Unscripted[0], "rule") || !strings.Contains(r.Unscripted[0], "the nearest that is recorded: write by running: sh -c") {
		t.Errorf("unscripted: %q", r.Unscripted)
	}
	if len(r.Unasked) != 1 || !strings.Contains(r.Unasked[0], "line") {
		t.Errorf("unasked: %q", r.Unasked)
	}
	if want := "-     status: verified\n+     status: "; r.OK() || !strings.Contains(strings.ReplaceAll(r.Difference, "        status", "    status"), want) {
		t.Errorf("difference:\n%s", r.Difference)
	}
}

func TestAnotherOutcomeFailsTheCase(t *testing.T) {
	t.Parallel()
	c, host := record(t, "one\n")
	host[len(host)-1].Data = recording.Text("one\n") // when it was measured, the line was not there
	r := try(t, c, strings.ReplaceAll(book, "HOLD", "0s"), host)
	if r.OK() || r.Got.Run.Status != "refuted" || len(r.Unscripted) > 0 || !strings.Contains(r.Difference, "refuted") {
		t.Errorf("%+v", r)
	}
	c.Expect = r.Got
	if r := try(t, c, strings.ReplaceAll(book, "HOLD", "0s"), host); !r.OK() {
		t.Errorf("%+v", r)
	}
}

func TestUpdateKeepsWhatPeopleWrote(t *testing.T) {
	t.Parallel()
	before := "# seen in March\nrunbook: add-line\ntarget: {id: db1, budgets: [{path: /a, size: 2MiB, min_age: 1d}]} # the small one\nstart: 2026-03-01T12:00:00Z\n"
	text := before + "expect:\n  refused: it is full\n"
	c, err := cases.Parse("case.yaml", []byte(text))
	if err != nil || c.Expect.Refused != "it is full" || c.Target.Budgets[0].Size != 2<<20 || time.Duration(c.Target.Budgets[0].MinAge) != 24*time.Hour {
		t.Fatalf("%+v, %v", c, err)
	}
	got, err := cases.Update("case.yaml", []byte(text), cases.Expect{Run: &cases.Run{Status: "verified"}})
	if err != nil || !strings.HasPrefix(string(got), before+"expect:\n") || strings.Contains(string(got), "it is full") {
		t.Fatalf("%s, %v", got, err)
	}
	if c, err = cases.Parse("case.yaml", got); err != nil || c.Expect.Run.Status != "verified" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestMistakesInACaseHaveAPlace(t *testing.T) {
	t.Parallel()
	const head = "runbook: a\ntarget: {id: db1}\nstart: 2026-03-01T12:00:00Z\n"
	for text, want := range map[string]string{
		"":                                       "case.yaml:1:1: the case is empty",
		head:                                     "expect",
		head + "expect: {}\nact: true\n":         "case.yaml:4:1: expect comes last",
		head + "expct: {}\n":                     "expct",
		head + "expect: {steps: [{noop: true}]}": "id",
		head + "hypothesis: {cause: a, evidence: {b: maybe}}\nexpect: {}\n": "maybe",
		head + "act: perhaps\nexpect: {}\n":                                 "case.yaml:4:6",
	} {
		if _, err := cases.Parse("case.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("runbook: a\ntarget: {id: b, budgets: [{path: /x, size: 1KiB, min_age: 1h}]}\nstart: 2026-03-01T12:00:00Z\nact: true\nexpect: {run: {status: x}}\n"))
	f.Add([]byte("runbook: a\ntarget: {id: b}\nentity: {id: c, processes: [{name: p, start: [a]}]}\nhypothesis: {cause: c, object: {a: b}, evidence: {e: cannot_tell}}\nstart: 2026-03-01T12:00:00Z\nexpect: {steps: [{id: a, noop: true}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := cases.Parse("case.yaml", data)
		if err != nil {
			return
		}
		text, err := c.Format()
		if err != nil {
			t.Skip(err) // a year that JSON cannot hold
		}
		again, err := cases.Parse("case.yaml", text)
		if err != nil {
			t.Skip(err) // text that YAML cannot hold as it is
		}
		second, err := again.Format()
		if err != nil || string(second) != string(text) {
			t.Fatalf("written\n%s\nthen\n%s\n%v", text, second, err)
		}
	})
}

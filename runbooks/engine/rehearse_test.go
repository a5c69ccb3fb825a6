package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/rehearsal"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// readings are probes that read through the Runner: a file's lines, and the
// kernel's word for the load.
type readings struct{}

func (readings) Names() []string { return []string{"file.lines", "host.load"} }

func (readings) Fields(probe string) (inputs, outputs []expr.Field, ok bool) {
	switch probe {
	case "file.lines":
		return []expr.Field{{Name: "path", Type: expr.String, Required: true}}, []expr.Field{{Name: "n", Type: expr.Int}}, true
	case "host.load":
		return nil, []expr.Field{{Name: "n", Type: expr.Int}}, true
	}
	return nil, nil, false
}

func (readings) Read(ctx context.Context, r remote.Runner, probe string, args map[string]string) (map[string]any, error) {
	path := args["path"]
	if probe == "host.load" {
		path = "/proc/loadavg"
	}
	data, _, err := r.ReadFile(ctx, path, 1000)
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Class == remote.NotExist {
		return map[string]any{"n": int64(0)}, nil
	}
	return map[string]any{"n": int64(strings.Count(string(data), "\n"))}, err
}

// rehearse rehearses the runbook on this machine, or skips the test where that
// cannot be.
func (w *world) rehearse() (runbooks.Plan, runbooks.Rehearsal) {
	w.t.Helper()
	r, err := rehearsal.Open(w.t.Context(), w.machine)
	if err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			w.t.Fatal(err)
		}
		w.t.Skipf("no rehearsal here: %v", err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	plan, done, err := engine.Rehearse(w.t.Context(), w.machine, engine.Stage{Runner: r, Changes: r.Changes}, w.binding(), w.deps)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan, done
}

// newStage makes a world whose probes read through the Runner.
func newStage(t *testing.T, spec string) *world {
	t.Helper()
	w := newWorld(t, "  steps: [{id: x, note: x}]\n")
	if err := os.WriteFile(filepath.Join(w.dir, "log"), []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.deps.Probes, w.deps.Specs = readings{}, readings{}
	rb, err := runbooks.Parse("test.yaml", []byte("apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: test, title: A test}\nspec:\n"+
		strings.ReplaceAll(spec, "DIR", w.dir)), runbooks.ParseOptions{Decoders: decoders(w.deps.Actions), Probes: readings{}})
	if err != nil {
		t.Fatal(err)
	}
	w.rb = rb
	return w
}

const stageProbes = `  probes:
    log: {probe: file.lines, with: {path: DIR/log}}
    load: {probe: host.load}
`

func rehearsed(all runbooks.Rehearsal) map[string]string {
	out := map[string]string{}
	for _, s := range all.Steps {
		out[s.ID] = strings.TrimSpace(string(s.Status) + " " + s.Why)
	}
	return out
}

func (w *world) wantStatuses(all runbooks.Rehearsal, want map[string]string) {
	w.t.Helper()
	if diff := cmp.Diff(want, rehearsed(all)); diff != "" {
		w.t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestStepsSeeEachOthersWorkAndNothingIsKept(t *testing.T) {
	t.Parallel()
	w := newStage(t, stageProbes+`
  limits: {deadline: 2h}
  steps:
    - id: add
      run: [sh, -c, 'echo two >>"$1"; echo hello; echo oops >&2', sh, DIR/log]
      touches: [{file: DIR/log}]
      verify: {that: log.n == 2, hold: 10m}
      undo: none
    - id: each
      foreach: {as: name, type: string, in: '["a", "b"]', max: 3}
      steps:
        - id: mark
          file: {path: "DIR/${each.name}", content: "x\n"}
    - id: beside
      script: {interpreter: [sh, -eu], body: "cd DIR; cat a b; rm log; mkdir -p new/deep; echo >new/deep/x; echo >elsewhere"}
      touches: [{file: DIR/log}, {file: DIR/ne*}]
      verify: {that: log.n == 0}
      undo: none
    - id: gone
      if: log.n < 2
      run: [test, "!", -e, DIR/log]
      verify: {that: log.n == 0}
      undo: none
`)
	plan, done := w.rehearse()
	w.wantStatuses(done, map[string]string{"add": "passed", "mark.1": "passed", "mark.2": "passed", "beside": "passed", "gone": "passed"})
	if plan.Digest == "" || len(plan.Steps) != 5 || done.Failed() {
		t.Errorf("the plan has %d steps", len(plan.Steps))
	}
	add, beside := done.Steps[0], done.Steps[3]
	if len(add.Transcript) != 1 || add.Transcript[0].Stdout != "hello\n" || add.Transcript[0].Stderr != "oops\n" || add.Took <= 0 || len(add.Warnings) != 0 {
		t.Errorf("%+v", add)
	}
	if len(add.Files) != 1 || add.Files[0].Kind != rehearsal.Changed || !strings.Contains(add.Files[0].Diff, "\n one\n+two\n") {
		t.Errorf("%+v", add.Files)
	}
	if len(add.Measured) != 1 || !strings.Contains(add.Measured[0], "log.n = 2") {
		t.Errorf("measured %q", add.Measured)
	}
	if want := []string{w.dir + "/elsewhere was created, which the step does not name in touches"}; cmp.Diff(want, beside.Warnings) != "" {
		t.Errorf("warnings %q", beside.Warnings)
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil || len(entries) != 1 || w.lines("log") != 1 {
		t.Errorf("something was kept: %v, %v", entries, err)
	}
}

func TestAStepThatFailsEndsTheRehearsal(t *testing.T) {
	t.Parallel()
	w := newStage(t, stageProbes+`
  steps:
    - {id: bad, run: [sh, -c, 'echo why >&2; exit 4'], verify: {that: log.n == 1}, undo: none}
    - {id: behind, run: [touch, DIR/x], verify: {that: log.n == 1}, undo: none}
  on_failure:
    - {id: say, note: failed}
  always:
    - {id: end, note: end}
`)
	_, done := w.rehearse()
	w.wantStatuses(done, map[string]string{
		"bad": "failed exit status 4: why", "behind": "not_reached step bad failed",
		"say": "not_rehearsed it follows a run that failed and was taken back", "end": "not_reached step bad failed",
	})
	if bad := done.Steps[0]; !done.Failed() || bad.ExitCode != 4 || len(bad.Warnings) != 1 || !strings.Contains(bad.Warnings[0], "no service") {
		t.Errorf("%+v", bad)
	}
}

func TestWhatIsMeasuredFalseFails(t *testing.T) {
	t.Parallel()
	w := newStage(t, stageProbes+`
  steps:
    - {id: nothing, run: ["true"], verify: {that: log.n == 2}, undo: none}
`)
	_, done := w.rehearse()
	if got := rehearsed(done)["nothing"]; !strings.HasPrefix(got, "failed log.n == 2 is false") {
		t.Errorf("got %q", got)
	}
}

func TestWhatCannotBeRehearsedSaysSoAndWhatDependsOnItToo(t *testing.T) {
	t.Parallel()
	w := newStage(t, stageProbes+`
  inputs: {word: {type: string, default: x}}
  steps:
    - {id: before, if: log.n == 1, run: ["true"], verify: {that: load.n == 1}, undo: none}
    - id: ask
      http: {url: "http://127.0.0.1:1/", method: POST, expect: {status: 200}}
      outputs: {code: {type: int, from: result.exit_code}}
      undo: none
    - {id: open, if: outputs.code == 0, run: ["true"], verify: {that: log.n == 1}, undo: none}
    - {id: measured, if: log.n == 1, run: ["true"], verify: {that: log.n == 1}, undo: none}
    - {id: constant, if: inputs.word == "x", run: ["true"], verify: {that: log.n == 7}, undo: none}
    - id: way
      choose:
        - {if: outputs.code == 1, steps: [{id: one, run: ["true"], verify: {that: log.n == 1}, undo: none}]}
        - {steps: [{id: other, run: ["true"], verify: {that: log.n == 1}, undo: none}]}
    - {id: read, probe: log}
    - {id: settle, wait: {until: log.n == 1, within: 1s}}
    - {id: room, effect: read, run: [df, DIR]}
    - {id: handed, escalate: {to: ops, say: now you}}
    - {id: last, note: never}
`)
	_, done := w.rehearse()
	behind := "measured behind step ask, which was not rehearsed"
	for id, want := range map[string]string{
		"before": "passed", "ask": "not_rehearsed http acts on more than files", "open": "not_rehearsed it cannot be told whether it applies: outputs.code == 0",
		"measured": "not_rehearsed it cannot be told whether it applies: it is " + behind, "constant": "passed",
		"one": "not_rehearsed it cannot be told whether this branch is taken", "other": "not_rehearsed it cannot be told whether this branch is taken",
		"read": "not_rehearsed it measures behind step ask", "settle": "not_rehearsed it waits for what a rehearsal may not bring about",
		"room": "not_rehearsed", "handed": "passed", "last": "not_reached the run is handed over by step handed",
	} {
		if got := rehearsed(done)[id]; !strings.HasPrefix(got, want) {
			t.Errorf("step %s is %q, want %q", id, got, want)
		}
	}
	for _, s := range done.Steps {
		text := strings.Join(s.Measured, "\n")
		if s.ID == "before" && !strings.Contains(text, "load.n == 1 cannot be told") || s.ID == "constant" && !strings.Contains(text, behind) {
			t.Errorf("step %s measured %q", s.ID, text)
		}
	}
	if done.Failed() {
		t.Error("nothing has failed")
	}
}

func TestOutputsDecideOnTheWay(t *testing.T) {
	t.Parallel()
	w := newStage(t, stageProbes+`
  steps:
    - id: look
      run: [sh, -c, 'echo "{\"n\": 3}"']
      outputs: {n: {type: int, from: result.json.n}}
      verify: {that: log.n == 1}
      undo: none
    - {id: yes, if: outputs.n == 3, run: ["true"], verify: {that: log.n == 1}, undo: none}
    - {id: no, if: outputs.n == 4, run: ["true"], verify: {that: log.n == 1}, undo: none}
    - id: way
      choose:
        - {if: outputs.n == 4, steps: [{id: four, note: four}]}
        - {if: outputs.n == 3, steps: [{id: three, run: ["true"], verify: {that: log.n == 1}, undo: none}]}
        - {steps: [{id: else, note: else}]}
`)
	_, done := w.rehearse()
	want := map[string]string{"look": "passed", "yes": "passed", "three": "passed", "else": "skipped another branch is taken"}
	for id, status := range rehearsed(done) {
		if want[id] != "" && status != want[id] || want[id] == "" && !strings.HasPrefix(status, "skipped outputs.n == 4 is false") {
			t.Errorf("step %s is %q", id, status)
		}
	}
	if len(done.Steps) != 6 {
		t.Errorf("%d steps", len(done.Steps))
	}
}

func TestARefusedPlanHasNoRehearsal(t *testing.T) {
	t.Parallel()
	w := newStage(t, stageProbes+`
  require: [{that: log.n == 5, because: it is short}]
  steps:
    - {id: add, run: [touch, DIR/x], verify: {that: log.n == 1}, undo: none}
`)
	plan, done := w.rehearse()
	if !strings.Contains(plan.Refused, "it is short") || len(done.Steps) != 0 {
		t.Errorf("%q, %+v", plan.Refused, done)
	}
}

// Cleaning up is rehearsed with the open files of the server, which a rehearsal's
// own processes are not.
func TestFilesThatAreOpenOnTheServerStay(t *testing.T) {
	t.Parallel()
	w := newStage(t, stageProbes+`
  steps:
    - id: clean
      cleanup: {path: DIR/old, match: ["*.gz"], min_age: 0s}
      preserve: none
      undo: none
    - id: empty
      truncate_log: {path: DIR/log}
      preserve: none
      undo: none
`)
	w.deps.CleanupRoots = []string{filepath.Dir(w.dir)}
	if err := os.Mkdir(filepath.Join(w.dir, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.gz", "b.gz", "c.txt"} {
		if err := os.WriteFile(filepath.Join(w.dir, "old", name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.Open(filepath.Join(w.dir, "old", "b.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	_, done := w.rehearse()
	w.wantStatuses(done, map[string]string{"clean": "passed", "empty": "passed"})
	if files := done.Steps[0].Files; len(files) != 1 || files[0].Path != w.dir+"/old/a.gz" || files[0].Kind != rehearsal.Removed || len(done.Steps[0].Warnings) > 0 {
		t.Errorf("%+v, %q", files, done.Steps[0].Warnings)
	}
	if files := done.Steps[1].Files; len(files) != 1 || !strings.Contains(files[0].Is, " 0 bytes") || w.lines("log") != 1 {
		t.Errorf("%+v", files)
	}
}

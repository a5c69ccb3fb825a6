package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// twoSteps acts twice, and each step leaves a line for every time it acted.
const twoSteps = `
  probes:
    one: {probe: file.lines, with: {path: DIR/one}}
    two: {probe: file.lines, with: {path: DIR/two}}
    goal: {probe: file.lines, with: {path: DIR/goal}}
  require:
    - {that: goal.n == 0, because: the goal is reached already}
  steps:
    - id: first
      run: [sh, -c, 'echo acted >> "$1"', sh, DIR/one]
      verify: {that: one.n >= 1, within: 2s}
      undo: {run: [sh, -c, 'echo undone >> "$1"', sh, DIR/one-undone]}
    - id: second
      run: [sh, -c, 'echo acted >> "$1"', sh, DIR/two]
      verify: {that: two.n >= 1 && SECOND, within: 100ms}
      undo: {run: [sh, -c, 'echo undone >> "$1"', sh, DIR/two-undone]}
`

func verified() string { return strings.ReplaceAll(twoSteps, "SECOND", "true") }
func refuted() string  { return strings.ReplaceAll(twoSteps, "SECOND", "two.n >= 2") }

func TestARunVerifiesEveryStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	res := w.run(t.Context())
	w.status(res, runbooks.RunVerified, runbooks.StepVerified, runbooks.StepVerified)
	first := res.Steps[0]
	if !first.Verified || first.StartedAt.IsZero() || first.EndedAt.Before(first.StartedAt) || len(first.Transcript) != 1 {
		t.Errorf("incomplete: %+v", first)
	}
	if !slices.Contains(first.Measured, "one.n >= 1 is true (one.n = 1)") {
		t.Errorf("measured %q", first.Measured)
	}
	if w.lines("one") != 1 || w.lines("two") != 1 || w.lines("one-undone") != 0 {
		t.Error("the steps acted more or less than once")
	}
}

func TestThoseWhoWatchSeeEachStepWithItsTimeOutAndOutput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(verified(), `echo acted >> "$1"`, `echo acted >> "$1"; echo to see; echo and this >&2`, 1))
	w.run(t.Context())
	var told []string
	for _, e := range w.events {
		text := e.Kind + " " + e.Step + " " + string(e.Status)
		switch e.Status {
		case runbooks.StepRunning:
			if e.Timeout != w.rb.Steps[0].Timeout || e.Timeout <= 0 {
				t.Errorf("%s may run for %s", e.Step, e.Timeout)
			}
		case runbooks.StepVerifying:
			if v := w.rb.Steps[0].Verify; e.Step == "first" && e.Timeout != v.Within+v.Hold {
				t.Errorf("%s may be verified for %s", e.Step, e.Timeout)
			}
		default:
			text += strings.ReplaceAll(string(e.Output), "\n", ",")
		}
		if e.At.IsZero() {
			t.Errorf("%s has no time", text)
		}
		told = append(told, text)
	}
	want := []string{
		"step first running", "command first ", "output first to see,and this,", "command first ", "step first outcome", "step first verifying", "step first verified",
		"step second running", "command second ", "output second ", "command second ", "step second outcome", "step second verifying", "step second verified",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told:\n%s", strings.Join(told, "\n"))
	}
}

// TestSentencesShowBytesInUnits: what is declared to be bytes, and nothing else.
func TestSentencesShowBytesInUnits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(verified(), "that: one.n >= 1", "that: one.n >= 1 && one.bytes < bytesize(\"1MiB\")", 1))
	w.setProbes(probes{read: func(path string) (map[string]any, error) {
		n := map[string]int64{"one": 2048, "two": 2}[filepath.Base(path)]
		return map[string]any{"n": n, "bytes": n}, nil
	}})
	res := w.run(t.Context())
	want := `one.n >= 1 && one.bytes < bytesize("1MiB") is true (one.bytes = 2.0 KiB, one.n = 2048)`
	if !slices.Contains(res.Steps[0].Measured, want) {
		t.Errorf("measured %q, want %q", res.Steps[0].Measured, want)
	}
}

func TestPlanningWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	p := w.plan()
	if n := w.machine.writes(); n != 0 {
		t.Errorf("%d commands that may write were sent", n)
	}
	if w.journal.appends != 0 {
		t.Error("planning wrote to the journal")
	}
	left, err := os.ReadDir(w.dir)
	if err != nil || len(left) != 0 {
		t.Errorf("planning left %v, error %v", left, err)
	}
	if p.Refused != "" || p.Effect != runbooks.Write || len(p.Steps) != 2 || p.Steps[0].Argv[0] != "sh" || p.Digest == "" {
		t.Errorf("plan %+v", p)
	}
	if again := w.plan(); again.Digest != p.Digest {
		t.Error("the digest changes while the world does not")
	}
}

// sneaky is an action whose plan writes.
type sneaky struct{ engine.Action }

func (sneaky) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	_, err := env.Act(ctx, "touch", "/tmp/never")
	return engine.Change{}, err
}

func TestAnActionCannotWriteWhilePlanning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	w.deps.Actions = []engine.Action{sneaky{w.deps.Actions[0]}}
	if _, err := engine.Plan(t.Context(), w.machine, w.binding(), w.deps); !fault.Is(err, fault.Denied) {
		t.Errorf("got %v, want denied", err)
	}
	if len(w.machine.commands) != 0 {
		t.Error("the command reached the server")
	}
}

func TestPreconditionsRefuse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		read  func(string) (map[string]any, error)
		truth expr.Truth
	}{
		{"false", func(string) (map[string]any, error) { return map[string]any{"n": int64(7)}, nil }, expr.False},
		{"cannot tell", func(string) (map[string]any, error) { return nil, errors.New("timed out") }, expr.CannotTell},
		{"field missing", func(string) (map[string]any, error) { return map[string]any{}, nil }, expr.CannotTell},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, verified())
			good := w.plan().Digest
			w.setProbes(probes{read: tt.read})
			p := w.plan()
			if p.Refused == "" || p.Preconditions[0].Truth != tt.truth || p.Digest == good {
				t.Errorf("refused %q, truth %s", p.Refused, p.Preconditions[0].Truth)
			}
			for _, digest := range []string{good, p.Digest} {
				res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
				if err != nil {
					t.Fatal(err)
				}
				w.status(res, runbooks.RunRefused)
			}
			if w.machine.writes() != 0 || w.journal.appends != 0 {
				t.Error("a refused run acted")
			}
		})
	}
}

func TestADriftedWorldRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	res, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: "sha256:of-another-plan"}, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	w.status(res, runbooks.RunRefused)
	if !strings.Contains(res.Why, "drifted") || w.machine.writes() != 0 || w.journal.appends != 0 {
		t.Errorf("%q, %d writes", res.Why, w.machine.writes())
	}
}

func TestWithoutATargetNothingIsPlanned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	b := w.binding()
	b.Target.ID = ""
	if _, err := engine.Plan(t.Context(), w.machine, b, w.deps); !fault.Is(err, fault.Denied) {
		t.Errorf("got %v, want denied", err)
	}
}

func TestARefutedStepIsTakenBackWithThoseBeforeIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, refuted())
	res := w.run(t.Context())
	w.status(res, runbooks.RunUndone, runbooks.StepUndone, runbooks.StepUndone)
	if w.lines("one-undone") != 1 || w.lines("two-undone") != 1 {
		t.Error("not everything was taken back once")
	}
	if res.Steps[1].Verified || !res.Steps[0].Verified {
		t.Error("the wrong step counts as verified")
	}
}

func TestUndoNoneLeavesTheRunRefuted(t *testing.T) {
	t.Parallel()
	spec := strings.Replace(refuted(), `undo: {run: [sh, -c, 'echo undone >> "$1"', sh, DIR/two-undone]}`, "undo: none", 1)
	w := newWorld(t, spec)
	res := w.run(t.Context())
	w.status(res, runbooks.RunRefuted, runbooks.StepUndone, runbooks.StepRefuted)
}

func TestAFailingUndoIsStuck(t *testing.T) {
	t.Parallel()
	spec := strings.Replace(refuted(), `[sh, -c, 'echo undone >> "$1"', sh, DIR/two-undone]`, `["false"]`, 1)
	w := newWorld(t, spec)
	w.status(w.run(t.Context()), runbooks.RunRefuted, runbooks.StepVerified, runbooks.StepStuck)
	if w.lines("one-undone") != 0 {
		t.Error("what lies below a stuck step was touched")
	}
}

func TestAFailedCommandIsRefutedWhateverTheProbeSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
  probes: {one: {probe: file.lines, with: {path: DIR/one}}}
  steps:
    - id: fails
      run: [sh, -c, 'echo acted >> "$1"; exit 3', sh, DIR/one]
      verify: {that: one.n >= 1}
      undo: {run: [rm, -f, --, DIR/one]}
`)
	res := w.run(t.Context())
	w.status(res, runbooks.RunUndone, runbooks.StepUndone)
	if res.Steps[0].ExitCode != 3 || res.Steps[0].Verified {
		t.Errorf("%+v", res.Steps[0])
	}
}

func TestACommandThatNeverStartedChangedNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
  probes: {one: {probe: file.lines, with: {path: DIR/one}}}
  steps:
    - id: absent
      run: [/no/such/program]
      verify: {that: one.n >= 1}
      undo: {run: [touch, DIR/undone]}
`)
	w.status(w.run(t.Context()), runbooks.RunFailed, runbooks.StepRefuted)
	if _, err := os.Stat(w.dir + "/undone"); err == nil {
		t.Error("something was undone that never happened")
	}
}

const cutOff = `
  probes: {one: {probe: file.lines, with: {path: DIR/one}}}
  steps:
    - id: slow
      run: [sh, -c, 'echo acted >> "$1"; exec sleep 60', sh, DIR/one]
      timeout: 200ms
      REPEAT
      verify: {that: one.n >= 1}
      undo: {run: [touch, DIR/undone]}
    - id: next
      run: [touch, DIR/next]
      verify: {that: one.n >= 1}
      undo: none
`

func TestATimeOutIsUnknownAndEndsTheRun(t *testing.T) {
	t.Parallel()
	for name, repeat := range map[string]string{"never": "", "it-says-no": "repeat: {ask: one.n > 5}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, strings.ReplaceAll(cutOff, "REPEAT", repeat))
			w.status(w.run(t.Context()), runbooks.RunUnknown, runbooks.StepUnknown, runbooks.StepPlanned)
			for _, never := range []string{"undone", "next"} {
				if _, err := os.Stat(w.dir + "/" + never); err == nil {
					t.Errorf("%s happened after an unknown outcome", never)
				}
			}
		})
	}
}

func TestATimeOutIsResolvedByLooking(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.ReplaceAll(cutOff, "REPEAT", "repeat: {ask: one.n > 0}"))
	w.status(w.run(t.Context()), runbooks.RunVerified, runbooks.StepVerified, runbooks.StepVerified)
	if w.lines("one") != 1 {
		t.Errorf("it acted %d times", w.lines("one"))
	}
}

func TestALostConnectionIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	w.machine.after = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost, Doing: "run"}
	}
	w.status(w.run(t.Context()), runbooks.RunUnknown, runbooks.StepUnknown, runbooks.StepPlanned)
	if w.lines("one") != 1 || w.lines("two") != 0 {
		t.Error("a step was repeated, or the next one began")
	}
}

func TestAStepWhoseConditionIsFalseIsSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(verified(), "- id: second", "- id: second\n      if: goal.n > 0", 1))
	w.status(w.run(t.Context()), runbooks.RunVerified, runbooks.StepVerified, runbooks.StepSkipped)
	if w.lines("two") != 0 {
		t.Error("a skipped step acted")
	}
}

func TestEvidenceIsSavedFirstOrTheStepIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(verified(), "- id: first", "- id: first\n      preserve: [processes, open-files]", 1))
	res := w.run(t.Context())
	w.status(res, runbooks.RunVerified)
	saved := res.Steps[0].Preserved
	if !strings.Contains(string(saved["processes"]), "PID") || len(saved["open-files"]) == 0 {
		t.Errorf("saved %d and %d bytes", len(saved["processes"]), len(saved["open-files"]))
	}

	w = newWorld(t, strings.Replace(verified(), "- id: first", "- id: first\n      preserve: [processes]", 1))
	w.machine.before = func(cmd remote.Command) error {
		if cmd.Argv[0] == "ps" {
			return &remote.Error{Class: remote.NotExist}
		}
		return nil
	}
	w.status(w.run(t.Context()), runbooks.RunRefused, runbooks.StepPlanned, runbooks.StepPlanned)
	if w.machine.writes() != 0 {
		t.Error("the step acted without its evidence")
	}
}

func TestStoppingWaitsForTheCommandAndStartsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	ctx, stop := context.WithCancel(t.Context())
	w.machine.before = func(cmd remote.Command) error {
		if cmd.Effect != remote.Read {
			stop()
		}
		return nil
	}
	digest := w.plan().Digest
	res, err := engine.Run(ctx, w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	w.status(res, runbooks.RunCancelled)
	if w.lines("one") != 1 || w.lines("two") != 0 || w.lines("one-undone") != 0 {
		t.Errorf("one %d, two %d", w.lines("one"), w.lines("two"))
	}
}

func TestStoppingTakesBackWhatIsNotTrue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, refuted())
	ctx, stop := context.WithCancel(t.Context())
	w.machine.before = func(cmd remote.Command) error {
		if cmd.Effect != remote.Read && strings.HasSuffix(cmd.Argv[len(cmd.Argv)-1], "/two") {
			stop()
		}
		return nil
	}
	digest := w.plan().Digest
	res, err := engine.Run(ctx, w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	w.status(res, runbooks.RunCancelled, runbooks.StepUndone, runbooks.StepUndone)
}

func TestAfterItsDeadlineNoStepStartsAndHalfACureIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	var late time.Duration
	w.deps.Now = func() time.Time { return time.Now().Add(late) }
	w.machine.after = func(cmd remote.Command) error {
		if cmd.Effect != remote.Read {
			late = time.Hour
		}
		return nil
	}
	w.status(w.run(t.Context()), runbooks.RunUndone, runbooks.StepUndone, runbooks.StepPlanned)
	if w.lines("two") != 0 {
		t.Error("a step started after the deadline")
	}
}

func TestARunIsNotBegunTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, verified())
	digest := w.plan().Digest
	w.run(t.Context())
	if _, err := engine.Run(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	if _, err := engine.Resume(t.Context(), w.machine, w.binding(), engine.Approved{Digest: "sha256:other"}, w.deps); !fault.Is(err, fault.Conflict) {
		t.Errorf("resumed another plan: %v", err)
	}
	res, err := engine.Resume(t.Context(), w.machine, w.binding(), engine.Approved{Digest: digest}, w.deps)
	if err != nil {
		t.Fatal(err)
	}
	w.status(res, runbooks.RunVerified, runbooks.StepVerified, runbooks.StepVerified)
	if w.lines("one") != 1 || w.lines("two") != 1 {
		t.Error("a finished run acted again")
	}
}
